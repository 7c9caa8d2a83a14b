#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`make bench`: the cost of a transaction in instructions, against UDP and TCP, the same from run to run.

One guest with the stock kernel under QEMU's icount, in which the clock counts instructions. Each program of
selftests/bench runs for each size; the figures go to build/out/bench.json:
{"icount": {"vmtp": {"64": N, ...}, "udp": {...}, "tcp": {...}}}
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from guest import Guest, GuestFailure
from machine import Accelerator, agent_overlay, run_main, stock_kernel, workspace, write_initramfs

TOP = Path(__file__).resolve().parents[2]
PROGRAMS = TOP / "build/selftests/install/bench"
RESULT = TOP / "build/out/bench.json"
FIRST = ["vmtp", "udp", "tcp"]
SECONDS = 300

LINK = (
    "ip netns add server && ip netns add client &&"
    " ip link add veth0 netns server type veth peer name veth0 netns client &&"
    " for n in server client; do ip -n $n link set lo up && ip -n $n link set veth0 up; done &&"
    " ip -n server addr add 10.81.0.1/24 dev veth0 && ip -n client addr add 10.81.0.2/24 dev veth0"
)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--octets", type=int, nargs="*", default=[64, 1024, 4096, 16384])
    options = parser.parse_args()

    figures: dict[str, dict[str, int]] = {}
    problems: list[str] = []
    kernel = stock_kernel()
    overlay = agent_overlay()
    overlay.tree("bench", PROGRAMS)
    with workspace("bench") as folder:
        write_initramfs(folder / "initramfs.cpio", kernel, overlay)
        try:
            with Guest("bench", kernel, Accelerator.ICOUNT, folder) as guest:
                measure(guest, options.octets, figures, problems)
        except GuestFailure as failure:
            problems.append(str(failure))
    show(figures, [str(octets) for octets in options.octets])
    RESULT.write_text(json.dumps({"icount": figures}, indent=2) + "\n")
    for problem in problems:
        print(f"✗ {problem}", file=sys.stderr)
    return 1 if problems else 0


def measure(guest: Guest, sizes: list[int], figures: dict[str, dict[str, int]], problems: list[str]) -> None:
    guest.wait_until_up()
    guest.expect("modprobe vmtp && modprobe veth")
    guest.expect(LINK)
    programs = sorted((path.name for path in PROGRAMS.iterdir()), key=lambda name: [*FIRST, name].index(name))
    for program in programs:
        for octets in sizes:
            result = guest.run(f"/bench/{program} {octets}", SECONDS)
            try:
                line = json.loads(result.text)
                figures.setdefault(line["proto"], {})[str(line["octets"])] = line["instructions"]
            except (ValueError, KeyError, TypeError):
                problems.append(f"{program} {octets}: exit status {result.status}: {result.text}")
    guest.check_kernel()


def show(figures: dict[str, dict[str, int]], sizes: list[str]) -> None:
    print("\nInstructions of a round trip, Request and Response of the same size, median, octets each way:\n")
    print(f"  {'':8}" + "".join(f"{int(size):>12,}" for size in sizes))
    for proto, costs in figures.items():
        print(f"  {proto:8}" + "".join(f"{costs[size]:>12,}" if size in costs else f"{'-':>12}" for size in sizes))
    print()


if __name__ == "__main__":
    run_main(main)
