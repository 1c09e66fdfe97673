# SPDX-License-Identifier: Apache-2.0
"""The websocket clients of one relay process: who wants which topic, and what waits for whom.

A client that does not take what it is sent is bounded, and dropped with a reason; the others do
not notice. Threads: the loop's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import orjson

from kafka_notify.opal.protocol import Subscription
from kafka_notify.opal.topics import ALL_TOPICS

LOG = logging.getLogger("kafka_notify.opal")

GOING_AWAY = 1001
POLICY = 1008
RESTART = 1012
TRY_LATER = 1013

# A client that gets on is waited for if it takes so many events, and characters, in a second.
_SLOWEST_EVENTS = 20
_SLOWEST_BYTES = 1024 * 1024
_GETS_ON_S = 2.0  # networks take bursts, not frames
_PACE_LOOK_S = 0.002

Send = Callable[[str], Awaitable[None]]
Close = Callable[[int, str], Awaitable[None]]


class Client:
    """One connection, and the frames that wait to be written to it.

    ``send`` writes one frame, and waits while the other side takes nothing; ``close`` ends the
    connection with a code and a reason.
    """

    def __init__(
        self,
        client_id: str,
        *,
        send: Send,
        close: Close,
        max_events: int,
        max_bytes: int,
        about: dict[str, Any],
    ) -> None:
        self.id = client_id
        self.about = {"connect_time": time.time(), **about}
        self.subscriptions: dict[str, Subscription] = {}
        self.ended: tuple[int, str] | None = None
        self.wrote_at_s = time.monotonic()
        self._send = send
        self._close = close
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._frames: deque[str] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._writing: asyncio.Future[None] | None = None
        self._numbers = 0

    def subscribe(self, topic: str) -> Subscription:
        """Note a subscription; a second one to a topic changes nothing."""
        found = self.subscriptions.get(topic)
        if found is None:
            self._numbers += 1
            found = Subscription(topic, subscriber_id=self.id, number=self._numbers)
            self.subscriptions[topic] = found
        return found

    def put(self, frame: str) -> None:
        """Have a frame written in its turn. Never waits; one too many ends the connection."""
        if self.ended is not None:
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        if len(self._frames) > self._max_events or self._bytes > self._max_bytes:
            self.end(
                TRY_LATER,
                f"too slow: {len(self._frames)} frames, {self._bytes} bytes are not taken",
            )
        else:
            self._wake.set()

    @property
    def is_behind(self) -> bool:
        """Whether more than half of what may wait for it does."""
        return self.ended is None and (
            2 * len(self._frames) > self._max_events or 2 * self._bytes > self._max_bytes
        )

    def end(self, code: int, reason: str) -> None:
        """Have the connection closed; what waits is dropped. The first reason counts."""
        if self.ended is not None:
            return
        self.ended = (code, reason)
        self._frames.clear()
        self._bytes = 0
        if self._writing is not None:
            self._writing.cancel()  # it may wait for a side that takes nothing
        self._wake.set()

    async def write(self) -> None:
        """Write frames until ``end``, then close the connection. Ends when the connection does."""
        self._writing = asyncio.ensure_future(self._write())
        try:
            await self._writing
        except asyncio.CancelledError:
            if self.ended is None:
                self._writing.cancel()
                raise
        finally:
            self._writing = None
        if self.ended is not None:
            with contextlib.suppress(Exception):
                await self._close(*self.ended)

    async def _write(self) -> None:
        while self.ended is None:
            while self._frames:
                frame = self._frames.popleft()
                self._bytes -= len(frame)
                await self._send(frame)
                self.wrote_at_s = time.monotonic()
            self._wake.clear()
            await self._wake.wait()


class Hub:
    """The clients by topic."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self._by_topic: dict[str, dict[str, Client]] = {}
        self.delivered = 0
        self.dropped = 0
        self._behind: set[Client] = set()
        self._pace_s = 0.0

    def add(self, client: Client) -> None:
        """Take a client."""
        self.clients[client.id] = client

    def remove(self, client: Client) -> None:
        """Forget a client, and what it has subscribed to."""
        self.clients.pop(client.id, None)
        self._behind.discard(client)
        self.unsubscribe(client, list(client.subscriptions))
        if client.ended is not None and client.ended[0] == TRY_LATER:
            self.dropped += 1
            LOG.warning("Dropped the client %s, %s", client.id, client.ended[1])

    def subscribe(self, client: Client, topics: Iterable[str]) -> None:
        """Bring a client the events of topics from now on."""
        for topic in topics:
            client.subscribe(topic)
            self._by_topic.setdefault(topic, {})[client.id] = client

    def unsubscribe(self, client: Client, topics: Iterable[str]) -> None:
        """Bring it those of these topics no longer."""
        for topic in topics:
            client.subscriptions.pop(topic, None)
            others = self._by_topic.get(topic)
            if others is not None:
                others.pop(client.id, None)
                if not others:
                    del self._by_topic[topic]

    def deliver(self, topics: Iterable[str], data: Any, *, notifier_id: str) -> None:
        """Bring an event to all that want it, but for the client that is its notifier."""
        text = ""
        for topic in topics:
            for wanted in (topic, ALL_TOPICS):
                for client in self._by_topic.get(wanted, {}).values():
                    if client.id == notifier_id:
                        continue
                    text = text or orjson.dumps(data).decode()
                    client.put(client.subscriptions[wanted].frame(text, topic))
                    self.delivered += 1
                    if client.is_behind:
                        self._behind.add(client)
        self._pace_s = 1 / _SLOWEST_EVENTS + len(text) / _SLOWEST_BYTES

    async def pace(self) -> None:
        """Let clients take what they were given: between two events, in the same task.

        Events may come faster than any client takes them, after an outage, say. So those that are
        behind are waited for while they get on, but not for long: one that takes nothing, or too
        little, soon has as much waiting as it may.
        """
        await asyncio.sleep(0)
        deadline = time.monotonic() + self._pace_s
        while self._behind:
            now = time.monotonic()
            self._behind = {
                client
                for client in self._behind
                if client.is_behind and now - client.wrote_at_s < _GETS_ON_S
            }
            if now > deadline:
                return
            await asyncio.sleep(_PACE_LOOK_S)

    def end_all(self, code: int, reason: str) -> None:
        """Have all connections closed."""
        for client in list(self.clients.values()):
            client.end(code, reason)
