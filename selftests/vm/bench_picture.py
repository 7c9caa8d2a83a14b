# SPDX-License-Identifier: GPL-2.0
"""The picture of `make bench`: build/out/bench.svg, a panel for each thing that was measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator  # noqa: E402

COLUMNS = 2
# VMTP stands out; the others keep their colour in every panel.
COLOURS = {
    "floor": "#c9c9c9",
    "vmtp": "#c1272d",
    "vmtp-sendmsg": "#e58a8d",
    "udp": "#1f5fa8",
    "tcp": "#2e8b57",
    "tcp-connect": "#8fc7a3",
    "tipc": "#8a6bb8",
    "rxrpc": "#b8860b",
    "sctp": "#7a7a7a",
    "rpc": "#444444",
    "rpc-1s": "#999999",
    "entities": "#c1272d",
    "records": "#1f5fa8",
}
LABELS = {
    "floor": "IP and link alone",
    "vmtp-sendmsg": "VMTP, sendmsg",
    "tcp-connect": "TCP, a connection each",
    "rxrpc": "RxRPC",
    "rpc": "RPC/UDP, 15 s",
    "rpc-1s": "RPC/UDP, 1 s",
}


def label(name: str) -> str:
    return LABELS.get(name, name.upper())


def draw(results: dict[str, Any], path: Path) -> None:
    """Draws what is there of the parts. An SVG, or whatever the path's suffix says."""
    panels: list[Callable[[Axes], None]] = []
    for part, of_part in PANELS.items():
        if part in results:
            panels += [lambda axes, panel=panel, of=results[part]: panel(axes, of) for panel in of_part]
    if not panels:
        return
    plt.rcParams.update(
        {
            "font.size": 9,
            "font.family": "DejaVu Sans",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.grid": True,
            "axes.grid.axis": "y",
            "axes.axisbelow": True,
            "grid.color": "#e3e3e3",
            "svg.hashsalt": "vmtp",
            "legend.frameon": False,
            "legend.fontsize": 8,
        }
    )
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = (6 * columns, 3.6 * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels):
        panel(axes)
    title = f"VMTP on Linux {results['kernel']}: make bench, {results['date'][:10]}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


# ---- Axes --------------------------------------------------------------------------------------------------------


def short(value: float, _: object = None) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def logarithmic(
    axis: Any, formatter: Callable[[float, object], str] = short, steps: tuple[float, ...] = (1, 2, 5)
) -> None:
    axis.axes.set_yscale("log") if axis.axis_name == "y" else axis.axes.set_xscale("log")
    axis.set_major_locator(matplotlib.ticker.LogLocator(base=10, subs=steps))
    axis.set_major_formatter(FuncFormatter(formatter))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def positions(axes: Axes, names: list[str], what: str) -> list[int]:
    """Values that are names: evenly apart."""
    places = list(range(len(names)))
    axes.set_xticks(places, names)
    axes.set_xlabel(what)
    return places


def line(axes: Axes, x: list[int], y: list[float | None], name: str, **style: Any) -> None:
    values = [math.nan if value is None else value for value in y]
    style.setdefault("label", label(name))
    width, order = (2.4, 3) if name == "vmtp" else (1.4, 2)
    axes.plot(x, values, color=COLOURS[name], linewidth=width, marker="o", markersize=3.5, zorder=order, **style)


# ---- Panels ------------------------------------------------------------------------------------------------------


def cost(axes: Axes, figures: dict[str, dict[str, int]]) -> None:
    axes.set_title("Cost of a round trip")
    sizes = sorted({int(size) for of in figures.values() for size in of})
    x = positions(axes, [f"{size:,}" for size in sizes], "octets each way")
    for protocol, of in figures.items():
        line(axes, x, [of.get(str(size)) for size in sizes], protocol)
    axes.set_ylabel("instructions")
    logarithmic(axes.yaxis)
    axes.legend(ncols=2)


def single_packets(axes: Axes, figures: dict[str, dict[str, dict[str, int]]]) -> None:
    axes.set_title("16,384 octets over devices of single packets")
    protocols = list(figures["gro"])
    x = positions(axes, [label(protocol) for protocol in protocols], "")
    for number, (name, shade) in enumerate((("gro", 1.0), ("no gro", 0.45))):
        values = [figures[name][protocol].get("16384", 0) for protocol in protocols]
        bars = axes.bar(
            [place + 0.38 * (number - 0.5) for place in x], values, 0.36,
            color=[COLOURS[protocol] for protocol in protocols], alpha=shade,
        )  # fmt: skip
        axes.bar_label(bars, [f"{short(value)}\n{name.replace('gro', 'GRO')}" for value in values], fontsize=7.5)
    axes.set_ylabel("instructions")
    axes.yaxis.set_major_formatter(FuncFormatter(short))
    axes.margins(y=0.15)


def _by_loss(
    axes: Axes,
    figures: list[dict[str, Any]],
    delay: int,
    value: Callable[[dict[str, Any]], float | None],
    **style: Any,
) -> None:
    losses = sorted({of["loss"] for of in figures})
    x = positions(axes, [f"{loss}%" for loss in losses], "loss each way")
    for protocol in dict.fromkeys(of["proto"] for of in figures):
        at = {of["loss"]: value(of) for of in figures if of["proto"] == protocol and of["delay"] == delay}
        line(axes, x, [at.get(loss) for loss in losses], protocol, **style)


def _time(value: float, _: object = None) -> str:
    return f"{value / 1e9:.3g} s" if value >= 1e9 else f"{value / 1e6:.3g} ms"


def late(delay: int) -> Callable[[Axes, list[dict[str, Any]]], None]:
    def panel(axes: Axes, figures: list[dict[str, Any]]) -> None:
        axes.set_title(f"Latency under loss, {delay} ms each way")
        _by_loss(axes, figures, delay, lambda of: of["p99.9"])
        _by_loss(axes, figures, delay, lambda of: of["p50"], linestyle=":", label="_", alpha=0.7)
        axes.set_ylabel("p99.9 (p50 dotted)")
        logarithmic(axes.yaxis, _time, (1,))
        axes.legend()

    return panel


def goodput(axes: Axes, figures: list[dict[str, Any]]) -> None:
    axes.set_title("Goodput under loss, Requests of 16 KiB")
    for number, delay in enumerate(sorted({of["delay"] for of in figures})):
        style = {"linestyle": "--", "label": "_"} if number else {}
        _by_loss(axes, figures, delay, lambda of: of["goodput"] or None, **style)
    axes.set_ylabel("octets a second (50 ms dashed)")
    logarithmic(axes.yaxis, steps=(1,))
    axes.legend()


def group(axes: Axes, figures: dict[str, dict[str, int]]) -> None:
    axes.set_title("A Request to a group and all Responses")
    members = list(figures["udp"])
    x = positions(axes, members, "members, each on a host of its own")
    for protocol, of in figures.items():
        name = "VMTP group" if protocol == "vmtp" else "UDP calls"
        line(axes, x, [of.get(number) for number in members], protocol, label=name)
    axes.set_ylabel("instructions")
    logarithmic(axes.yaxis)
    axes.legend()


def growth(axes: Axes, figures: dict[str, dict[str, dict[str, float]]]) -> None:
    axes.set_title("A transaction among many")
    counts = list(figures["entities"])
    x = positions(axes, [f"{int(number):,}" for number in counts], "in the tables of the server's host")
    for what in ("entities", "records"):
        line(axes, x, [figures[what].get(number, {}).get("instructions") for number in counts], what, label=what)
    axes.set_ylabel("instructions")
    axes.margins(y=0.2)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(short))
    axes.legend()


def rate(axes: Axes, figures: dict[str, list[dict[str, Any]]]) -> None:
    axes.set_title("Round trips a second, of TCP's (wall time)")
    _of_tcp(axes, figures["rate"], lambda of: of["per_second"])


def wall_latency(axes: Axes, figures: dict[str, list[dict[str, Any]]]) -> None:
    axes.set_title("Latency at equal load, p99, of TCP's (wall time)")
    _of_tcp(axes, figures["latency"], lambda of: of["p99"])


def _of_tcp(axes: Axes, figures: list[dict[str, Any]], value: Callable[[dict[str, Any]], float | None]) -> None:
    clients = sorted({of["clients"] for of in figures})
    x = positions(axes, [str(number) for number in clients], "clients")
    at = {(of["proto"], of["clients"]): value(of) for of in figures}
    for protocol in dict.fromkeys(of["proto"] for of in figures):
        ratios = []
        for number in clients:
            own, tcp = at.get((protocol, number)), at.get(("tcp", number))
            ratios.append(own / tcp if own and tcp else None)
        line(axes, x, ratios, protocol)
    axes.margins(y=0.2)
    axes.set_ylim(bottom=0)
    axes.legend()


def throughput(axes: Axes, figures: dict[str, list[dict[str, Any]]]) -> None:
    axes.set_title("Throughput, one client, of TCP's with offload (wall time)")
    lines = figures["throughput"]
    sizes = sorted({of["out"] for of in lines})
    x = positions(axes, [f"{size >> 20} MiB" if size >> 20 else f"{size >> 10} KiB" for size in sizes], "message")
    at = {(of["proto"], of["out"], of["offload"]): of["goodput"] for of in lines}
    kinds = [("vmtp", True), ("vmtp", False), ("tcp", True), ("tcp", False)]
    for number, (protocol, offload) in enumerate(kinds):
        values = [at.get((protocol, size, offload), 0) / at.get(("tcp", size, True), math.inf) for size in sizes]
        bars = axes.bar(
            [place + 0.2 * (number - 1.5) for place in x], values, 0.19, color=COLOURS[protocol],
            alpha=1 if offload else 0.45, label=f"{label(protocol)}, offload {'on' if offload else 'off'}",
        )  # fmt: skip
        axes.bar_label(bars, [f"{value:.2f}" for value in values], fontsize=7.5)
    axes.margins(y=0.4)
    axes.legend(ncols=2, loc="upper center")


PANELS: dict[str, list[Callable[[Axes, Any], None]]] = {
    "icount": [cost],
    "wire": [single_packets],
    "loss": [late(1), late(50), goodput],
    "group": [group],
    "growth": [growth],
    "wall": [rate, wall_latency, throughput],
}
