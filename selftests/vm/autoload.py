#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A module that DKMS made, in a guest with the stock kernel: the first socket(AF_VMTP, ...) loads it by its alias, and
it does transactions. Part of `make test-deb`.

usage: autoload.py VMTP.KO
"""

from __future__ import annotations

import sys
from pathlib import Path

from guest import Guest, GuestFailure
from machine import agent_overlay, choose_accelerator, run_main, stock_kernel, workspace, write_initramfs
from rootfs import WORK, add_vmtp

ENTITY = "LE-70000-127.0.0.1"


def main() -> int:
    module = Path(sys.argv[1])
    kernel = stock_kernel()
    accelerator = choose_accelerator()
    overlay = agent_overlay()
    add_vmtp(overlay, kernel.release, module, WORK / "modules")
    with workspace("autoload") as folder:
        write_initramfs(folder / "initramfs.cpio", kernel, overlay)
        try:
            with Guest("autoload", kernel, accelerator, folder) as guest:
                guest.wait_until_up()
                guest.expect("! grep -q '^vmtp ' /proc/modules")
                guest.expect("ip link set lo up")
                guest.expect(f"vmtp echo --entity {ENTITY} >/tmp/echo 2>&1 & until grep -q LE /tmp/echo; do usleep 10000; done")
                guest.expect("grep '^vmtp ' /proc/modules")
                guest.expect(f"vmtp ping -c 3 -i 0.1 {ENTITY} | grep '3 answered'")
                guest.check_kernel()
                guest.power_off()
        except GuestFailure as failure:
            print(f"FAIL the module that DKMS made:\n{failure}")
            return 1
    print("ok   the module that DKMS made loads by net-pf-18 in a guest and does transactions")
    return 0


if __name__ == "__main__":
    run_main(main)
