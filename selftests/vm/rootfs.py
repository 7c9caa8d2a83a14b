#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes build/out/rootfs.cpio.gz and build/out/vmlinuz: what every guest boots.

Runs where the Debian 13 packages are (vmtp/kbuild/in-root). Two archives in one file: the base (busybox, programs,
modules of the stock kernel), made again when a list or the root changes, and ours (vmtp.ko, our tools), made every
time, which takes a second. No file is touched that would not change.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from initramfs import Archive

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
OUT = TOP / "build/out"
WORK = TOP / "build/rootfs"
GUEST = HERE / "guest"


def main() -> None:
    kernel = os.environ["VMTP_KERNEL"]  # in-root sets it
    WORK.mkdir(parents=True, exist_ok=True)
    OUT.mkdir(parents=True, exist_ok=True)
    base = base_archive(kernel)
    changed = replace(OUT / "rootfs.cpio.gz", base + compress(our_archive(kernel)))
    changed |= replace(OUT / "vmlinuz", Path(f"/usr/lib/modules/{kernel}/vmlinuz").read_bytes())
    if changed:
        size = (OUT / "rootfs.cpio.gz").stat().st_size
        print(f"  ROOTFS  build/out/rootfs.cpio.gz ({size / 1e6:.1f} MB)")


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def compress(archive: Archive) -> bytes:
    # Deterministic, so that the same inputs give the same file. An archive that is appended must begin at a
    # multiple of 4 if it is not compressed itself.
    content = gzip.compress(archive.to_bytes(), compresslevel=6, mtime=0)
    return content + bytes(-len(content) % 4)


def replace(path: Path, content: bytes) -> bool:
    if path.exists() and path.read_bytes() == content:
        return False
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
    return True


# ---- The base ---------------------------------------------------------------------------------------------------


def base_archive(kernel: str) -> bytes:
    """The compressed base; also fills WORK/modules with the decompressed modules."""
    inputs = [Path(__file__), HERE / "initramfs.py", *sorted(GUEST.iterdir())]
    key = hashlib.sha256(kernel.encode())
    for path in inputs:
        key.update(path.read_bytes())
    for program in ["/usr/bin/busybox", *lines(GUEST / "programs"), *lines(GUEST / "files")]:
        key.update(f"{program} {Path(program).stat().st_mtime_ns}".encode())
    cached, stamp = WORK / "base.cpio.gz", WORK / "base.key"
    if cached.exists() and stamp.exists() and stamp.read_text() == key.hexdigest():
        return cached.read_bytes()

    archive = Archive()
    for folder in ("bin", "sbin", "usr/bin", "usr/sbin", "lib", "lib64", "proc", "sys", "dev", "run", "root", "mnt"):
        archive.directory(folder)
    archive.directory("tmp", 0o1777)
    archive.character_device("dev/console", 5, 1)
    archive.symlink("var/run", "/run")
    archive.data("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n_rpc:x:100:65534::/run/rpcbind:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
    archive.data("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    archive.data("etc/hosts", b"127.0.0.1 localhost\n")
    archive.file("init", GUEST / "init", 0o755)
    for path in lines(GUEST / "files"):
        archive.file(path, Path(path))
    add_programs(archive)
    add_modules(archive, kernel)

    content = compress(archive)
    replace(cached, content)
    stamp.write_text(key.hexdigest())
    return content


def add_programs(archive: Archive) -> None:
    programs = lines(GUEST / "programs")
    libraries: set[str] = set()
    for program in programs:
        archive.file(program, Path(program), 0o755)
        listing = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
        libraries.update(re.findall(r"(/\S+) \(0x", listing))
    for library in sorted(libraries):
        # In /lib and not /usr/lib: an archive that is appended may then have a folder of either name.
        archive.file(library.replace("/usr/lib/", "/lib/"), Path(library), 0o755)
    for table in sorted(Path("/usr/lib/tc").glob("*.dist")):
        archive.file(f"usr/lib/tc/{table.name}", table)
    for name in ("rt_protos", "rt_tables", "rt_scopes"):
        for folder in ("/etc/iproute2", "/usr/share/iproute2"):
            if Path(folder, name).exists():
                archive.file(f"{folder}/{name}", Path(folder, name))

    archive.file("bin/busybox", Path("/usr/bin/busybox"), 0o755)
    # busybox's own shell would prefer its applets to iproute2's programs.
    archive.symlink("bin/sh", "dash")
    real = {Path(program).name for program in programs}
    applets = subprocess.run(["/usr/bin/busybox", "--list-full"], check=True, capture_output=True, text=True).stdout
    for applet in applets.split():
        if Path(applet).name not in real and applet not in archive and Path(applet).name != "busybox":
            archive.symlink(applet, "/bin/busybox")


def add_modules(archive: Archive, kernel: str) -> None:
    source = Path("/usr/lib/modules") / kernel
    staging = WORK / "modules/lib/modules" / kernel
    shutil.rmtree(WORK / "modules", ignore_errors=True)
    staging.mkdir(parents=True)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copyfile(source / name, staging / name)

    paths: dict[str, str] = {}
    needs: dict[str, list[str]] = {}
    for line in (source / "modules.dep").read_text().splitlines():
        path, _, dependencies = line.partition(":")
        paths[module_name(path)] = path
        needs[path] = dependencies.split()
    builtin = {module_name(path) for path in (source / "modules.builtin").read_text().split()}

    wanted: set[str] = set()
    for name in lines(GUEST / "modules"):
        if name in paths:
            wanted.update([paths[name], *needs[paths[name]]])
        elif name not in builtin:
            print(f"  note: the kernel {kernel} has no module {name}", file=sys.stderr)
    for path in sorted(wanted):
        target = staging / path.removesuffix(".xz")
        target.parent.mkdir(parents=True, exist_ok=True)
        content = (source / path).read_bytes()
        target.write_bytes(lzma.decompress(content) if path.endswith(".xz") else content)
    archive.tree(f"lib/modules/{kernel}/kernel", staging / "kernel")
    for name in ("modules.builtin", "modules.order"):
        archive.file(f"lib/modules/{kernel}/{name}", staging / name)


def module_name(path: str) -> str:
    return Path(path).name.partition(".")[0].replace("-", "_")


# ---- Ours -------------------------------------------------------------------------------------------------------


def our_archive(kernel: str) -> Archive:
    archive = Archive()
    add_vmtp(archive, kernel, OUT / "vmtp.ko", WORK / "modules")
    for tool in sorted((OUT / "bin").iterdir()) if (OUT / "bin").is_dir() else []:
        archive.file(f"usr/bin/{tool.name}", tool, 0o755)
    for example in sorted((OUT / "examples").iterdir()) if (OUT / "examples").is_dir() else []:
        archive.file(f"usr/lib/vmtp/examples/{example.name}", example, 0o755)
    return archive


def add_vmtp(archive: Archive, kernel: str, module: Path, staging: Path) -> None:
    """Adds vmtp.ko and the tables of modprobe. staging is a folder with the other modules in lib/modules/KERNEL."""
    target = staging / "lib/modules" / kernel / "extra/vmtp.ko"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    subprocess.run(["objcopy", "--strip-debug", str(module), str(target)], check=True)
    subprocess.run(["depmod", "-b", str(staging), kernel], check=True)
    folder = f"lib/modules/{kernel}"
    archive.file(f"{folder}/extra/vmtp.ko", target)
    for name in ("modules.dep", "modules.alias", "modules.symbols", "modules.softdep"):
        archive.file(f"{folder}/{name}", staging / folder / name)


if __name__ == "__main__":
    main()
