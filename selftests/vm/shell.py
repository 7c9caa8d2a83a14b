#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A shell in a guest, for a person: `make vm`. The stock kernel, vmtp.ko loaded, two network namespaces to talk
between. Ends with `exit`, or at once with Ctrl-A X."""

from __future__ import annotations

import subprocess

from initramfs import Archive
from machine import choose_accelerator, command_line, run_main, stock_kernel, workspace, write_initramfs

RUN = """\
modprobe vmtp
ip netns add a; ip netns add b
ip link add veth0 netns a type veth peer name veth0 netns b
for n in a b; do ip -n $n link set lo up; ip -n $n link set veth0 up; done
ip -n a addr add 10.0.0.1/24 dev veth0; ip -n b addr add 10.0.0.2/24 dev veth0
cat <<END

Linux $(uname -r), vmtp.ko is loaded. The network namespaces a (10.0.0.1) and b (10.0.0.2) are linked:
    ip netns exec a vmtp echo --entity LE-1-10.0.0.1 &
    ip netns exec b vmtp ping -c 5 LE-1-10.0.0.1
vmtp --help tells more; nstat, tcpdump, strace, nft and tc are here. exit ends it, Ctrl-A X at once.

END
cd /root && setsid -c bash -l </dev/ttyS0 >/dev/ttyS0 2>&1
"""


def main() -> int:
    overlay = Archive()
    overlay.data("run.sh", RUN.encode())
    overlay.data("root/.profile", b"PS1='guest# '\n")
    kernel = stock_kernel()
    with workspace("shell") as folder:
        initramfs = folder / "initramfs.cpio"
        write_initramfs(initramfs, kernel, overlay)
        command = command_line(kernel, choose_accelerator(), 1024, "hostname=guest")
        return subprocess.run([*command, "-initrd", str(initramfs), "-serial", "mon:stdio"], check=False).returncode


if __name__ == "__main__":
    run_main(main)
