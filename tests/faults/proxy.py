# SPDX-License-Identifier: Apache-2.0
"""A network between clients and a broker, which can be cut: TCP through threads of the test."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType


class Proxy:
    """Pass on what comes to ``port``; a context manager. Threads: one tells it what to do."""

    def __init__(self, port: int, *, to: int) -> None:
        self._to = to
        self._open = threading.Event()
        self._open.set()
        self._closed = False
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", port), backlog=100)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        self._open.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.reset()
        for thread in self._threads:
            thread.join(10)

    def silence(self) -> None:
        """Pass nothing on; connections stay open and new ones are taken, as by a dead cable."""
        self._open.clear()

    def heal(self) -> None:
        """Pass on again, first what was held back."""
        self._open.set()

    def reset(self) -> None:
        """Cut every connection; new ones are taken."""
        with self._lock:
            cut, self._sockets = self._sockets, set()
        for one in cut:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed:
            try:
                here, _ = self._listening.accept()
            except OSError:
                return
            try:
                there = socket.create_connection(("127.0.0.1", self._to), 10)
            except OSError:
                here.close()
                continue
            there.settimeout(None)
            with self._lock:
                self._sockets |= {here, there}
            for one, other in ((here, there), (there, here)):
                thread = threading.Thread(target=self._pass_on, args=(one, other), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                self._open.wait()
                other.sendall(data)
        self._open.wait()  # the end of a connection does not get through a dead cable either
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._sockets -= {one}
        one.close()
