# SPDX-License-Identifier: Apache-2.0
"""A websocket client of fastapi_websocket_pubsub, in a loop and thread of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from tests.waiting import eventually

READY_S = 120.0


class Subscriber:
    """Notes what comes to some topics, in order; a context manager."""

    def __init__(self, url: str, *topics: str, **connect: Any) -> None:
        self.url = url
        self.topics = topics
        self.got: list[Any] = []
        self.connects = 0
        self._connect = connect
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._end: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Subscriber:
        self._thread.start()
        assert self._ready.wait(READY_S), f"{self.url} does not let us subscribe"
        return self

    def __exit__(self, *_: object) -> None:
        if self._end is not None:
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(READY_S)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._main())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _main(self) -> None:
        # Here, because the unit tests do without the library.
        from fastapi_websocket_pubsub import PubSubClient

        self._end = asyncio.Event()

        async def note(data: Any, topic: str = "") -> None:
            self.got.append(data)

        async def connected(_client: Any, _channel: Any) -> None:
            self.connects += 1
            self._ready.set()

        async with PubSubClient(
            list(self.topics), note, on_connect=[connected], server_uri=self.url, **self._connect
        ):
            await self._end.wait()

    def wait_for(self, count: int, timeout_s: float) -> list[Any]:
        """Return what has come once it is so many."""
        eventually(lambda: len(self.got) >= count, timeout_s, f"{count} events at {self.url}")
        return list(self.got)
