# SPDX-License-Identifier: GPL-2.0
"""The tables of `make bench`, from what is in bench.json; under each, how its figures were taken."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

WIDTH = 118


def show(results: dict[str, Any]) -> None:
    for part, table in TABLES.items():
        if part in results:
            print()
            table(results[part])
            print(textwrap.fill(results["how"][part], WIDTH, initial_indent="  ", subsequent_indent="  "))
    print()


def row(name: str, cells: list[str]) -> None:
    print(f"  {name:22}" + "".join(f"{cell:>17}" for cell in cells))


def count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def ratio(value: float | None, to: float | None) -> str:
    return "-" if not value or not to else f"{value / to:.2f}" if value < 100 * to else f"{value / to:.0f}"


def against(value: float | None, to: float | None) -> str:
    """A figure with what it is of another."""
    return "-" if value is None else f"{count(value)} {'(' + ratio(value, to) + ')':>6}"


def milliseconds(ns: float | None) -> str:
    return "gave up" if ns is None else f"{ns / 1e6:,.1f}"


def costs(title: str, figures: dict[str, dict[str, int]]) -> None:
    print(f"{title}; in brackets: of UDP's\n")
    sizes = sorted({int(size) for costs_of in figures.values() for size in costs_of})
    row("octets each way", [f"{size:,}" for size in sizes])
    for protocol, costs_of in figures.items():
        row(protocol, [against(costs_of.get(str(size)), figures.get("udp", {}).get(str(size))) for size in sizes])


def icount(figures: dict[str, dict[str, int]]) -> None:
    costs("Instructions of a round trip", figures)


def wire(figures: dict[str, dict[str, dict[str, int]]]) -> None:
    for name, of in figures.items():
        how = "with GRO" if name == "gro" else "without GRO"
        costs(f"Instructions of a round trip over devices of single packets, {how}", of)
        print()


def loss(figures: list[dict[str, Any]]) -> None:
    print("Under loss: ms (in brackets, p99.9: of VMTP's), and goodput in KB/s\n")
    vmtp = {(line["loss"], line["delay"]): line["p99.9"] for line in figures if line["proto"] == "vmtp"}
    row("loss, delay each way", ["protocol", "p50", "p99", "p99.9", "gave up", "goodput"])
    for line in figures:
        beside = f" ({ratio(line['p99.9'], vmtp.get((line['loss'], line['delay'])))})" if line["p99.9"] else ""
        row(
            f"{line['loss']}%, {line['delay']} ms",
            [
                line["proto"],
                milliseconds(line["p50"]),
                milliseconds(line["p99"]),
                milliseconds(line["p99.9"]) + beside,
                count(line["failed"]),
                f"{line['goodput'] / 1e3:,.1f}",
            ],
        )


def group(figures: dict[str, dict[str, int]]) -> None:
    print("Instructions until all members of a group have answered; in brackets: of UDP's\n")
    members = list(figures["udp"])
    row("members", members)
    for protocol, costs_of in figures.items():
        row(protocol, [against(costs_of.get(number), figures["udp"].get(number)) for number in members])


def growth(figures: dict[str, dict[str, dict[str, float]]]) -> None:
    print("Instructions of a transaction among many, and octets of memory of one of them\n")
    counts = sorted({int(number) for of in figures.values() for number in of})
    row("", [f"{number:,}" for number in counts])
    for what in ("entities", "records"):
        cells = [figures.get(what, {}).get(str(number)) for number in counts]
        row(f"{what}: instructions", [count(cell and cell["instructions"]) for cell in cells])
    for what in figures:
        cells = [figures[what].get(str(number)) for number in counts]
        # Of a few nothing can be seen among the pages that the kernel keeps ready.
        row(
            f"{what}: memory of one",
            [count(cell["memory"]) if cell and number >= 1000 else "-" for number, cell in zip(counts, cells)],
        )


def wall(figures: dict[str, list[dict[str, Any]]]) -> None:
    print("Round trips a second, closed loop; in brackets: of TCP's\n")
    _by_clients(figures["rate"], lambda line: line["per_second"], against)
    for quantile in ("p50", "p99", "p99.9"):
        print(f"\nLatency in µs, {quantile}, open loop; in brackets: of TCP's\n")
        _by_clients(figures["latency"], lambda line, of=quantile: line[of] and line[of] / 1e3, against)
    print("\nThroughput in MB/s, one client; in brackets: of TCP's\n")
    kinds = sorted({(line["out"], line["offload"]) for line in figures["throughput"]})
    row("message, offload", [f"{octets >> 10:,} KiB, {'on' if offload else 'off'}" for octets, offload in kinds])
    rates = {(line["proto"], line["out"], line["offload"]): line["goodput"] / 1e6 for line in figures["throughput"]}
    for protocol in ("vmtp", "tcp"):
        cells = [(rates.get((protocol, *kind)), rates.get(("tcp", *kind))) for kind in kinds]
        row(protocol, ["-" if own is None else f"{own:,.1f} ({ratio(own, tcp)})" for own, tcp in cells])


def _by_clients(
    lines: list[dict[str, Any]],
    value: Callable[[dict[str, Any]], float | None],
    cell: Callable[[float | None, float | None], str],
) -> None:
    clients = sorted({line["clients"] for line in lines})
    figures = {(line["proto"], line["clients"]): value(line) for line in lines}
    row("clients", [str(number) for number in clients])
    for protocol in dict.fromkeys(line["proto"] for line in lines):
        row(protocol, [cell(figures.get((protocol, number)), figures.get(("tcp", number))) for number in clients])


TABLES: dict[str, Callable[[Any], None]] = {
    "icount": icount,
    "wire": wire,
    "loss": loss,
    "group": group,
    "growth": growth,
    "wall": wall,
}
