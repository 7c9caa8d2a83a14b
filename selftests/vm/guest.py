# SPDX-License-Identifier: GPL-2.0
"""One virtual machine: start, run commands in it, check what its kernel says, stop.

Commands and their output go over a virtio-serial port (guest/agent.sh is the other end); the console is only kept to
be shown when something is wrong. Whatever happens to the guest (hang, warning, oops, panic) ends in GuestFailure
within a given time: the kernel panics on a warning, a panic ends QEMU, and the end of QEMU ends the port.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from machine import Accelerator, Kernel, command_line

CONSOLE_LINES = 60
BOOT_SECONDS = 30

# Headlines of what the kernel reports without stopping.
REPORTS = re.compile(
    r"WARNING: |BUG: |Oops|KASAN|UBSAN|KCSAN|KFENCE|ODEBUG|INFO: (?:task|rcu|trying to register)|INFO: possible|"
    r"possible (?:circular|recursive|irq lock|deadlock)|suspicious RCU|general protection|scheduling while atomic|"
    r"sleeping function called|bad unlock balance|lock held|locks? still held|refcount_t: |blocked for more than|"
    r"stall|unreferenced object|new suspected memory leaks|Objects remaining|Slab cache still has objects|"
    r"unregister_netdevice: waiting|Attempt to release|DEBUG_LOCKS_WARN_ON|rcu_preempt self-detected|"
    r"workqueue lockup|soft lockup|hard LOCKUP|double free|use-after-free|Bad page|page allocation failure"
)


class GuestFailure(Exception):
    """The guest hangs, has crashed or its kernel has reported something. The text is for a person, console included."""


class BootFailure(GuestFailure):
    """The guest did not come up. Nothing of ours has run in it: another may."""


@dataclass(frozen=True)
class Result:
    status: int
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Guest:
    """A guest that runs guest/agent.sh. Use as a context manager, so that nothing is left running."""

    def __init__(
        self,
        name: str,
        kernel: Kernel,
        accelerator: Accelerator,
        folder: Path,
        *,
        link: socket.socket | None = None,
        number: int = 1,
        memory: int = 512,
        options: Sequence[str] = (),
    ) -> None:
        """folder has initramfs.cpio and gets the console; options are more of QEMU's.

        link is a Hub's port, on which the guest is 02:00:00:00:00:NUMBER.
        """
        self.name = name
        self.kernel = kernel
        self.accelerator = accelerator
        self._pending = b""
        self._commands = 0
        self.console = folder / f"{name}.console"
        self.console.write_bytes(b"")
        self._channel, theirs = socket.socketpair()
        command = [
            *["setpriv", "--pdeathsig", "KILL"],
            *command_line(kernel, accelerator, memory + 1024 * kernel.debug, f"hostname={name}"),
            *["-initrd", str(folder / "initramfs.cpio"), "-serial", f"file:{self.console}"],
            *["-device", "virtio-serial-pci", "-chardev", f"socket,id=harness,fd={theirs.fileno()}"],
            *["-device", "virtserialport,chardev=harness,name=vmtp.harness"],
            *["-device", "virtio-rng-pci", *options],
        ]
        inherited = [theirs.fileno()]
        if link:
            command += ["-netdev", f"dgram,id=net,local.type=fd,local.str={link.fileno()}"]
            command += ["-device", f"virtio-net-pci,netdev=net,mac=02:00:00:00:00:{number:02x},romfile="]
            inherited.append(link.fileno())
        self._qemu = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.console.open("ab"), stderr=subprocess.STDOUT,
            pass_fds=inherited, start_new_session=True,
        )  # fmt: skip
        theirs.close()
        if link:
            link.close()

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def wait_until_up(self) -> None:
        patience = self.accelerator.patience * (3 if self.kernel.debug else 1)
        deadline = time.monotonic() + BOOT_SECONDS * patience
        while True:
            try:
                line = self._line(deadline, "the guest did not come up")
            except GuestFailure as failure:
                raise BootFailure(str(failure)) from None
            if line.startswith("\x1eready "):
                release = line.split()[1]
                if release != self.kernel.release:
                    raise GuestFailure(f"{self.name} runs {release} and not {self.kernel.release}")
                return

    def run(self, command: str, timeout: float, on_line: Callable[[str], None] | None = None) -> Result:
        """Runs a line of shell and waits for its end. timeout is in seconds of the machine outside, as it is."""
        assert "\n" not in command
        self._commands += 1
        self._send(f"{self._commands} {command}\n")
        deadline = time.monotonic() + timeout
        end = f"\x1e{self._commands} "
        lines: list[str] = []
        while True:
            line = self._line(deadline, f"no end after {timeout:.0f} s of: {command}")
            if line.startswith(end):
                # The agent begins its line on a new one, which is nobody's output if it is empty.
                if lines and not lines[-1]:
                    lines.pop()
                return Result(int(line[len(end) :]), lines)
            lines.append(line)
            if on_line:
                on_line(line)

    def expect(self, command: str, timeout: float = 60) -> str:
        """Runs a command that must succeed; returns its output."""
        result = self.run(command, timeout)
        if result.status:
            raise GuestFailure(f"{self.name}: `{command}` failed ({result.status}):\n{indented(result.text)}")
        return result.text

    def check_kernel(self) -> None:
        """Raises if the kernel has reported anything since the last check. The log is emptied."""
        log = self.expect("dmesg -c").splitlines()
        found = [number for number, line in enumerate(log) if REPORTS.search(line)]
        if found:
            around = "\n".join(log[max(0, found[0] - 5) : found[0] + CONSOLE_LINES])
            raise GuestFailure(f"{self.name}: the kernel reports:\n{indented(around)}")

    def power_off(self) -> None:
        self._send("exit\n")
        try:
            self._qemu.wait(20 * self.accelerator.patience)
        except subprocess.TimeoutExpired:
            raise self._failure("the guest did not power off") from None

    def kill(self) -> None:
        self._qemu.kill()
        self._qemu.wait()
        self._channel.close()

    def _send(self, text: str) -> None:
        try:
            self._channel.sendall(text.encode())
        except OSError:
            raise self._failure("the guest has stopped") from None

    def _line(self, deadline: float, what: str) -> str:
        while b"\n" not in self._pending:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise self._failure(what)
            self._channel.settimeout(remaining)
            try:
                received = self._channel.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                received = b""
            if not received:
                raise self._failure("the guest has stopped: its kernel panicked, or QEMU ended")
            self._pending += received
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode(errors="replace").rstrip("\r")

    def _failure(self, what: str) -> GuestFailure:
        if "stopped" in what:
            try:  # let the console be written to its end
                self._qemu.wait(5)
            except subprocess.TimeoutExpired:
                pass
        text = self.console.read_text(errors="replace").replace("\r", "").rstrip()
        tail = "\n".join(text.splitlines()[-CONSOLE_LINES:]) or "(nothing)"
        return GuestFailure(f"{self.name}: {what}\n  its console ({self.console}) ends with:\n{indented(tail)}")


def indented(text: str) -> str:
    return "\n".join(f"    | {line}" for line in text.splitlines())
