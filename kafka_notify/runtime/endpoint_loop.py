# SPDX-License-Identifier: Apache-2.0
"""The event loop on which a listener's coroutine endpoints run."""

from __future__ import annotations

import asyncio
import select
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

from kafka_notify.native import threading

_END_S = 5.0
_MOST_FILES = 1024  # that select() can be asked about

if hasattr(selectors, "EpollSelector"):

    class _PreciseSelector(selectors.EpollSelector):
        """One that waits as long as it is told to, where epoll waits for whole milliseconds.

        An endpoint that sleeps for 10 ms would take up to 11, and a hundred of them at once got
        0.88 of the notifications that they could (0.93 with it).
        """

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """Return what is ready; see ``selectors``."""
            if timeout is not None and timeout > 0 and self.fileno() < _MOST_FILES:
                # A selector is a file that can be waited for like those it waits for.
                select.select((self,), (), (), timeout)
                timeout = 0
            return super().select(timeout)


def _new_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    if type(loop) is asyncio.SelectorEventLoop and hasattr(selectors, "EpollSelector"):
        loop.close()
        loop = asyncio.SelectorEventLoop(_PreciseSelector())
    return loop


class EndpointLoop:
    """One asyncio loop in a thread of its own, made for the first coroutine. Threads: any."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_ending(self) -> bool:
        """Whether what still runs is being cut off."""
        return self._loop is None

    def is_mine(self, thread: threading.Thread) -> bool:
        """Tell whether ``thread`` is the loop's."""
        return thread is self._thread

    def call(self, callback: Callable[[], None]) -> None:
        """Have something called in the loop, soon. Never blocks."""
        self._running().call_soon_threadsafe(callback)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return what a coroutine returns, or raise what it raises; blocks until then."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = _new_loop()
                self._thread = threading.Thread(
                    target=self._serve, args=(self._loop,), name=self._name, daemon=True
                )
                self._thread.start()
            return self._loop

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def after_fork_in_child(self) -> None:
        """Forget the parent's loop; its thread is not here."""
        self._lock = threading.Lock()
        self._loop = self._thread = None

    def close(self) -> None:
        """End the loop and its thread; coroutines that still run are cut off. Idempotent."""
        with self._lock:
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            if thread is not threading.current_thread():
                thread.join(_END_S)
