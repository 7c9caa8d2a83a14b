# SPDX-License-Identifier: GPL-2.0
"""What a guest is made of: kernels, kinds of machine, and the initramfs. Nothing is started here (see guest.py)."""

from __future__ import annotations

import contextlib
import enum
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from initramfs import Archive
from rootfs import add_vmtp

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
OUT = TOP / "build/out"


@dataclass(frozen=True)
class Kernel:
    """A kernel, its image, and what it needs in the initramfs beyond rootfs.cpio.gz."""

    release: str
    image: Path
    extra: bytes = b""
    debug: bool = False


def stock_kernel() -> Kernel:
    """The unmodified Debian kernel."""
    return Kernel(kernel_name(), OUT / "vmlinuz")


def debug_kernel() -> Kernel:
    """The debug kernel, with build/module-debug/vmtp.ko. Both have been built, the one for the other (see Makefile)."""
    folder = (TOP / "build/module-debug/kernel").resolve()
    release = (folder / "include/config/kernel.release").read_text().strip()
    staging = TOP / "build/rootfs/modules-debug"
    shutil.rmtree(staging, ignore_errors=True)
    modules = staging / "lib/modules" / release
    modules.mkdir(parents=True)
    archive = Archive()
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copyfile(folder / name, modules / name)
    archive.file(f"lib/modules/{release}/modules.builtin", modules / "modules.builtin")
    add_vmtp(archive, release, TOP / "build/module-debug/vmtp.ko", staging)
    return Kernel(release, folder / "arch/x86/boot/bzImage", archive.to_bytes(), debug=True)


def kernel_name() -> str:
    return os.environ["VMTP_KERNEL"]  # in-root sets it


def cache() -> Path:
    return Path(os.environ["VMTP_CACHE"])


class Accelerator(enum.Enum):
    KVM = "kvm"
    TCG = "tcg"
    ICOUNT = "icount"
    """One processor, and a clock that counts instructions: 1 ns each, the same from run to run."""

    def options(self) -> list[str]:
        if self is Accelerator.KVM:
            return ["-accel", "kvm", "-cpu", "host", "-smp", "2"]
        if self is Accelerator.TCG:
            return ["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]
        # Without erms and fsrm a copy is a loop; with them it would count one instruction an octet.
        return ["-accel", "tcg", "-icount", "shift=0,sleep=off", "-cpu", "max,-erms,-fsrm", "-smp", "1"]

    @property
    def patience(self) -> int:
        """What times limits are multiplied by: those of kselftests are meant for real processors."""
        return 1 if self is Accelerator.KVM else 3


def command_line(kernel: Kernel, accelerator: Accelerator, memory: int, extra: str) -> list[str]:
    """QEMU without disks, network and channels, which guest.py adds."""
    arguments = ["console=ttyS0", "panic=-1", "oops=panic", "panic_on_warn=1", "log_buf_len=4M", "quiet", extra]
    if accelerator is Accelerator.ICOUNT:
        arguments.append("mitigations=off")
    if accelerator is Accelerator.TCG:
        # On a busy machine the guest measures its TSC 20 times too slow now and then, and its clock runs ahead as much.
        arguments.append("clocksource=hpet")
    if kernel.debug:
        arguments.append("kmemleak=on")
    return [
        *["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-M", "q35", *accelerator.options()],
        *["-m", f"{memory}M", "-display", "none", "-no-reboot"],
        *["-kernel", str(kernel.image), "-append", " ".join(arguments)],
    ]


def write_initramfs(path: Path, kernel: Kernel, overlay: Archive) -> None:
    """The base, what the kernel needs, and the overlay, one after the other."""
    path.write_bytes((OUT / "rootfs.cpio.gz").read_bytes() + kernel.extra + overlay.to_bytes())


def agent_overlay() -> Archive:
    """An overlay that makes the guest take commands from Guest.run()."""
    overlay = Archive()
    overlay.file("run.sh", HERE / "guest/agent.sh")
    return overlay


@contextlib.contextmanager
def workspace(name: str) -> Iterator[Path]:
    """A folder in build/vm for one run, so that several runs do not meet. Consoles are kept if the run fails."""
    parent = TOP / "build/vm"
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob("*-*"):
        if not Path("/proc", old.name.rpartition("-")[2]).exists():
            shutil.rmtree(old, ignore_errors=True)
    folder = parent / f"{name}-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        for archive in folder.glob("*.cpio"):
            archive.unlink()


def run_main(main: Callable[[], int]) -> None:
    """Ends the process as main says, and quietly on Ctrl-C; guests end with the process."""
    try:
        status = main()
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        status = 130
    sys.stdout.flush()
    # Not sys.exit: it would wait for threads that are in the middle of a guest.
    os._exit(status)


def choose_accelerator() -> Accelerator:
    """KVM if a guest really boots with it, else TCG. The answer is kept in the cache until the machine is rebooted."""
    forced = os.environ.get("VMTP_ACCEL")
    if forced:
        return Accelerator(forced)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return Accelerator.TCG
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    stamp = cache() / "accelerator"
    if stamp.exists() and stamp.read_text().startswith(boot):
        return Accelerator(stamp.read_text().split()[1])
    answer = Accelerator.KVM if _kvm_boots() else Accelerator.TCG
    stamp.write_text(f"{boot} {answer.value}\n")
    return answer


def _kvm_boots() -> bool:
    print("trying whether a guest boots with /dev/kvm", file=sys.stderr)
    archive = Archive()
    archive.data("run.sh", b"exit 0\n")
    command = command_line(stock_kernel(), Accelerator.KVM, 512, "")
    with workspace("probe") as folder:
        write_initramfs(folder / "initramfs.cpio", stock_kernel(), archive)
        try:
            probe = subprocess.run(
                [*command, "-initrd", str(folder / "initramfs.cpio"), "-serial", "stdio"],
                stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
    return b"vmtp-run: exit 0" in probe.stdout
