# SPDX-License-Identifier: GPL-2.0
"""One Ethernet segment for guests: a hub in this process, a datagram a frame. Needs no rights on the machine."""

from __future__ import annotations

import selectors
import socket
import threading

FRAME = 65536 + 64
QUEUE = 1 << 20


class Hub:
    """Passes every frame of one port to all others. A full port loses frames, as Ethernet does."""

    def __init__(self) -> None:
        self._ports: list[socket.socket] = []
        self._selector = selectors.DefaultSelector()
        self._stop, stopped = socket.socketpair()
        self._selector.register(stopped, selectors.EVENT_READ)
        self._stopped = stopped
        self._thread = threading.Thread(target=self._forward, name="hub", daemon=True)
        self._thread.start()

    def port(self) -> socket.socket:
        """A new port: the end for the guest, which takes it over."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUE)
        ours.setblocking(False)
        self._ports.append(ours)
        self._selector.register(ours, selectors.EVENT_READ)
        return theirs

    def close(self) -> None:
        self._stop.close()
        self._thread.join()
        self._stopped.close()
        for port in self._ports:
            port.close()

    def _forward(self) -> None:
        while True:
            for key, _ in self._selector.select():
                source = key.fileobj
                if source is self._stopped:
                    return
                assert isinstance(source, socket.socket)
                self._pass_on(source)

    def _pass_on(self, source: socket.socket) -> None:
        try:
            frame = source.recv(FRAME)
        except OSError:
            return  # the guest is gone; so are its frames
        for port in self._ports:
            if port is not source:
                try:
                    port.send(frame)
                except OSError:
                    pass
