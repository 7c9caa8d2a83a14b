# SPDX-License-Identifier: GPL-2.0
"""Writes initramfs archives (cpio, format newc) without root rights: owners and device nodes are only written down.

An initramfs may be a concatenation of archives, a later one replacing files of an earlier one. This module knows
nothing of what is in them (see rootfs.py).
"""

from __future__ import annotations

import stat
from pathlib import Path


class Archive:
    """A cpio archive in memory. Parent directories come by themselves."""

    def __init__(self) -> None:
        self._members: dict[str, tuple[int, bytes, tuple[int, int]]] = {}

    def _add(self, path: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        path = path.strip("/")
        parent = path.rpartition("/")[0]
        if parent and parent not in self._members:
            self.directory(parent)
        self._members[path] = (mode, data, device)

    def directory(self, path: str, mode: int = 0o755) -> None:
        self._add(path, stat.S_IFDIR | mode)

    def symlink(self, path: str, target: str) -> None:
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, path: str, major: int, minor: int) -> None:
        self._add(path, stat.S_IFCHR | 0o600, device=(major, minor))

    def data(self, path: str, content: bytes, mode: int = 0o644) -> None:
        self._add(path, stat.S_IFREG | mode, content)

    def file(self, path: str, source: Path, mode: int | None = None) -> None:
        """Copies a file, following symlinks."""
        self.data(path, source.read_bytes(), stat.S_IMODE(source.stat().st_mode) if mode is None else mode)

    def tree(self, path: str, source: Path) -> None:
        """Copies everything below a folder."""
        for entry in sorted(source.rglob("*")):
            name = f"{path.rstrip('/')}/{entry.relative_to(source)}"
            if entry.is_symlink():
                self.symlink(name, str(entry.readlink()))
            elif entry.is_dir():
                self.directory(name)
            else:
                self.file(name, entry)

    def __contains__(self, path: str) -> bool:
        return path.strip("/") in self._members

    def to_bytes(self) -> bytes:
        out = bytearray()
        for inode, (path, (mode, data, device)) in enumerate(self._members.items(), start=1):
            _append(out, path, inode, mode, data, device)
        _append(out, "TRAILER!!!", 0, 0, b"", (0, 0))
        out += bytes(-len(out) % 512)
        return bytes(out)


def _append(out: bytearray, path: str, inode: int, mode: int, data: bytes, device: tuple[int, int]) -> None:
    name = path.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(name), 0)
    out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
    out += bytes(-len(out) % 4)
    out += data
    out += bytes(-len(out) % 4)
