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
_ROUNDS = 10  # of cutting off, where what is cut off begins something new
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
    """One asyncio loop in a thread of its own. Threads: any.

    It begins with ``start``, or the first coroutine; after ``close`` not without ``open``.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._left_to_parent: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Let it be begun, again after ``close``."""
        self._is_closed = False

    def start(self) -> None:
        """Begin now. Raises RuntimeError where the system has no thread for it."""
        self.open()
        self._running()

    def is_current(self) -> bool:
        """Tell the coroutine that asks whether its loop is this one's: one that ends is not."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:  # it is not even running: the coroutine is thrown away
            return False

    def is_mine(self, thread: threading.Thread) -> bool:
        """Tell whether ``thread`` is the loop's."""
        return thread is self._thread

    def call(self, callback: Callable[[], None]) -> None:
        """Have something called in the loop, soon. Never blocks. Raises as ``run`` when closed."""
        self._running().call_soon_threadsafe(callback)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return what a coroutine returns, or raise what it raises; blocks until then.

        Raises RuntimeError when closed.
        """
        try:
            loop = self._running()
        except RuntimeError:
            coroutine.close()
            raise
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                if self._is_closed:
                    raise RuntimeError("the loop of this listener's endpoints has ended")
                loop = _new_loop()
                thread = threading.Thread(
                    target=self._serve, args=(loop,), name=self._name, daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:
                    loop.close()
                    raise
                self._loop, self._thread = loop, thread
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        while True:
            try:
                loop.run_forever()
                break
            except BaseException as error:  # noqa: BLE001 - sys.exit in a task of an endpoint's
                told = {"message": "a task of an endpoint raised", "exception": error}
                loop.call_exception_handler(told)
        if loop is self._left_to_parent:
            return  # what it waits with is the parent's, too: to close it here would end it there
        for _ in range(_ROUNDS):
            left = asyncio.all_tasks(loop)
            if not left:
                break
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def after_fork_in_child(self) -> None:
        """Forget the parent's loop; its thread is not here, unless it is the one that has forked.

        That one does nothing more once the endpoint that has forked waits, or returns.
        """
        loop, thread = self._loop, self._thread
        self._lock = threading.Lock()
        self._loop = self._thread = None
        if loop is not None and thread is threading.current_thread():
            self._left_to_parent = loop
            loop.stop()

    def close(self) -> None:
        """End the loop and its thread; coroutines that still run are cut off. Idempotent."""
        with self._lock:
            self._is_closed = True
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            if thread is not threading.current_thread():
                thread.join(_END_S)
