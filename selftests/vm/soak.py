#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`make soak HOURS=n`: selftests/soak in a guest with panic_on_warn, for so many hours (0.1 by default).

Three hosts (network namespaces) use every feature over a network that changes; every transaction is checked. A line a
minute. Passes if nothing was wrong, the kernel has reported nothing and vmtp can be removed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from guest import Guest, GuestFailure, indented
from machine import (
    agent_overlay,
    choose_accelerator,
    debug_kernel,
    run_main,
    stock_kernel,
    workspace,
    write_initramfs,
)
from run_tests import UNLOAD, expect_no_leaks, forget_leaks

TOP = Path(__file__).resolve().parents[2]
PROGRAM = TOP / "build/selftests/install/soak"
GRACE = 900  # what is open comes to its end


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--debug", action="store_true", help="the debug kernel: slower, and sees more, leaks too")
    options = parser.parse_args()

    seconds = max(1, round(options.hours * 3600))
    kernel = debug_kernel() if options.debug else stock_kernel()
    overlay = agent_overlay()
    overlay.tree("soak", PROGRAM)
    with workspace("soak") as folder:
        write_initramfs(folder / "initramfs.cpio", kernel, overlay)
        try:
            with Guest("soak", kernel, choose_accelerator(), folder, memory=1024) as guest:
                guest.wait_until_up()
                forget_leaks(guest)
                guest.expect("dmesg -c >/dev/null; modprobe vmtp && modprobe veth && modprobe sch_netem && modprobe bridge")
                print(f"Linux {kernel.release}, {seconds} s, seed {options.seed}", flush=True)
                command = f"/soak/soak {seconds} {options.seed} 2>&1"
                result = guest.run(command, seconds * 2 + GRACE, lambda line: print(line, flush=True))
                guest.expect("for host in 0 1 2; do ip netns del h$host; done; ip link del hub")
                removed = guest.run(UNLOAD, 120)
                if removed.status:
                    raise GuestFailure(f"vmtp cannot be removed:\n{indented(removed.text)}")
                expect_no_leaks(guest)
                guest.check_kernel()
        except GuestFailure as failure:
            print(f"✗ {failure}", file=sys.stderr)
            return 1
    print(f"soak: {'all is well' if result.status == 0 else 'FAILED, see ✗ above'}")
    return 1 if result.status else 0


if __name__ == "__main__":
    run_main(main)
