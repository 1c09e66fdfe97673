# SPDX-License-Identifier: Apache-2.0
"""The event loop on which a listener's coroutine endpoints run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from kafka_notify.native import threading

_END_S = 5.0


class EndpointLoop:
    """One asyncio loop in a thread of its own, made for the first coroutine. Threads: any.

    A worker waits for its coroutine, so the policies, order and limits are those of any endpoint.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return what a coroutine returns, or raise what it raises; blocks until then."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
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
