#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`make fuzz-kernel`: packets and system calls that no sane program makes, for the module in a running kernel.

A guest with panic_on_warn runs selftests/fuzz one after the other for SECONDS together, or a million packets and as
many calls as fit. Passes if the guest's kernel has reported nothing, an honest client is served at the end, every
reason to drop a packet was met, and vmtp can be removed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from guest import Guest, GuestFailure
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
PROGRAMS = TOP / "build/selftests/install/fuzz"
PACKETS = 1_000_000
CALLS = 200_000
SLOWEST = 4 * 3600  # an end for what has neither seconds nor progress
GRACE = 300


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, help="for both programs together")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--debug", action="store_true", help="the debug kernel: slower, and sees more, leaks too")
    options = parser.parse_args()

    kernel = debug_kernel() if options.debug else stock_kernel()
    overlay = agent_overlay()
    overlay.tree("fuzz", PROGRAMS)
    with workspace("fuzz") as folder:
        write_initramfs(folder / "initramfs.cpio", kernel, overlay)
        try:
            with Guest("fuzz", kernel, choose_accelerator(), folder) as guest:
                guest.wait_until_up()
                forget_leaks(guest)
                guest.expect("dmesg -c >/dev/null; modprobe vmtp && modprobe tun")
                print(f"Linux {kernel.release}, panic_on_warn, seed {options.seed}", flush=True)
                passed = all([fuzz(guest, options, program) for program in ("fuzz-packets", "fuzz-calls")])
                removed = guest.run(UNLOAD, 120)
                if removed.status:
                    raise GuestFailure(f"vmtp cannot be removed:\n{removed.text}")
                expect_no_leaks(guest)
                guest.check_kernel()
        except GuestFailure as failure:
            print(f"✗ {failure}", file=sys.stderr)
            return 1
    print(f"fuzz-kernel: {'the kernel is well' if passed else 'FAILED, see ✗ above'}")
    return 0 if passed else 1


def fuzz(guest: Guest, options: argparse.Namespace, program: str) -> bool:
    packets = program == "fuzz-packets"
    if options.seconds:
        # Calls need less: there are fewer states.
        share = options.seconds * (3 if packets else 1) // 4
        budget, timeout = f"--seconds {max(1, share)}", share + GRACE
    else:
        budget, timeout = f"--count {PACKETS if packets else CALLS}", SLOWEST
    print(f"{program} {budget}", flush=True)
    command = f"/fuzz/{program} {budget} --seed {options.seed} 2>&1"
    result = guest.run(command, timeout, lambda line: print(f"  {line}", flush=True))
    guest.check_kernel()
    if result.status:
        print(f"✗ {program} ends with exit status {result.status}")
    return result.status == 0


if __name__ == "__main__":
    run_main(main)
