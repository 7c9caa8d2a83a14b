#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`make bench`: VMTP beside UDP, TCP and their kin, on the stock kernel, all in one run.

Parts (bench_parts.py) run in guests of their own: those whose clock counts instructions two at a time, because
nothing outside disturbs them, and the one that is timed alone, at the end. The figures go to build/out/bench.json,
the tables to the terminal (bench_tables.py), the picture to build/out/bench.svg (bench_picture.py).

bench.json: {"icount": {"vmtp": {"64": N, ...}, "udp": {...}, ...}, PART: ..., "how": {PART: text}, ...}; what the other
parts look like is said where they are measured.

usage: bench.py [PART...]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench_parts import PARTS, Part
from bench_tables import show
from guest import BootFailure, Guest, GuestFailure
from machine import Kernel, agent_overlay, choose_accelerator, run_main, stock_kernel, workspace, write_initramfs

TOP = Path(__file__).resolve().parents[2]
PROGRAMS = TOP / "build/selftests/install/bench"
RESULT = TOP / "build/out/bench.json"
PICTURE = TOP / "build/out/bench.svg"
BOOT_TRIES = 3  # a busy machine may be too slow for one


class Run:
    """What is measured and what went wrong; says on the terminal how far it is."""

    def __init__(self, kernel: Kernel, folder: Path) -> None:
        self.kernel = kernel
        self.folder = folder
        self.figures: dict[str, Any] = {}
        self.how: dict[str, str] = {}
        self.problems: list[str] = []
        self._begin = time.monotonic()
        self._lock = threading.Lock()

    def tell(self, text: str) -> None:
        with self._lock:
            print(f"{time.monotonic() - self._begin:6.1f} s  {text}", flush=True)

    def part(self, part: Part) -> None:
        for left in reversed(range(BOOT_TRIES)):
            try:
                self._part(part)
                return
            except BootFailure as failure:
                self.tell(f"{part.name}: the guest did not come up; {'once more' if left else 'given up'}")
                if not left:
                    self.problems.append(str(failure))
            except GuestFailure as failure:
                self.tell(f"{part.name}: FAILED: {str(failure).splitlines()[0]}")
                self.problems.append(str(failure))
                return

    def _part(self, part: Part) -> None:
        accelerator = part.accelerator or choose_accelerator()
        with Guest(part.name, self.kernel, accelerator, self.folder, memory=part.memory) as guest:
            guest.wait_until_up()
            guest.expect("modprobe vmtp && modprobe veth && modprobe sch_netem")
            self.tell(f"{part.name}: the guest is up")
            figures = part.measure(Programs(guest, part.name, self))
            guest.check_kernel()
        self.figures[part.name] = figures
        self.how[part.name] = part.how


class Programs:
    """Runs the programs of selftests/bench in a guest."""

    SECONDS = 1200

    def __init__(self, guest: Guest, part: str, run: Run) -> None:
        self.guest = guest
        self._part = part
        self._run = run

    def __call__(self, command: str, what: str = "") -> dict[str, Any] | None:
        """The line of JSON that a program prints; None if it has no such message or fails (which is noted)."""
        result = self.guest.run(f"/bench/{command}", self.SECONDS)
        if result.status == 4:
            return None
        try:
            if result.status:
                raise ValueError
            line: dict[str, Any] = json.loads(result.text)
        except ValueError:
            self._run.problems.append(f"{self._part}: {command}: exit status {result.status}: {result.text}")
            self._run.tell(f"{self._part}: {command} {what}: FAILED")
            return None
        figures = ", ".join(f"{key} {shown(value)}" for key, value in line.items() if key in SHOWN)
        self._run.tell(f"{self._part}: {command}{' ' + what if what else ''}: {figures}")
        return line


SHOWN = ("instructions", "per_second", "p50", "p99", "p99.9", "failed", "memory")


def shown(value: float | None) -> str:
    return "never" if value is None else f"{value:,.0f}"


def main() -> int:
    parser = argparse.ArgumentParser(description="figures of VMTP beside other protocols")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of: {' '.join(PARTS)}; all if none is given")
    names = parser.parse_args().parts or list(PARTS)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"error: no such part: {' '.join(unknown)} (there are: {' '.join(PARTS)})")
    chosen = [PARTS[name] for name in PARTS if name in names]

    overlay = agent_overlay()
    overlay.tree("bench", PROGRAMS)
    overlay.file("sbin/tipc", Path("/usr/sbin/tipc"), 0o755)
    kernel = stock_kernel()
    with workspace("bench") as folder:
        write_initramfs(folder / "initramfs.cpio", kernel, overlay)
        run = Run(kernel, folder)
        run.tell(f"{' '.join(part.name for part in chosen)} on Linux {kernel.release}")
        with ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
            list(pool.map(run.part, [part for part in chosen if part.accelerator]))
        for part in chosen:
            if not part.accelerator:
                run.part(part)
    results = {
        **{part.name: run.figures[part.name] for part in chosen if part.name in run.figures},
        "how": run.how,
        "kernel": kernel.release,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    RESULT.write_text(json.dumps(results, indent=2) + "\n")
    show(results)
    try:
        from bench_picture import draw

        draw(results, PICTURE)
        print(f"figures: {RESULT.relative_to(TOP)}, picture: {PICTURE.relative_to(TOP)}")
    except ImportError as error:
        run.problems.append(f"no picture: {error} (package python3-matplotlib)")
    for problem in run.problems:
        print(f"✗ {problem}", file=sys.stderr)
    return 1 if run.problems else 0


if __name__ == "__main__":
    run_main(main)
