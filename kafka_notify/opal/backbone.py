# SPDX-License-Identifier: Apache-2.0
"""The backbone of a process: one producer, and one reader for each channel."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kafka_notify.aio import AsyncSender
from kafka_notify.core import naming
from kafka_notify.native import threading
from kafka_notify.opal.channel import Channel
from kafka_notify.opal.events import Broadcasted
from kafka_notify.opal.location import locate
from kafka_notify.runtime.outgoing import Outgoing
from kafka_notify.runtime.transport import NotificationTransport


class Backbone:
    """Events to and from the servers of a fleet. Loops: any.

    Making one connects to nothing, so that a server may fork afterwards. Raises
    ConfigurationError for a URL that cannot work.
    """

    def __init__(self, url: str, *, delivery: str = "confirm", **overrides: Any) -> None:
        """Take options that win over the URL, and a ``delivery`` that does not."""
        parsed, settings = locate(url, os.environ, delivery=delivery)
        settings = dataclasses.replace(settings, **overrides)
        self.transport = NotificationTransport(parsed, settings)
        self._sender = AsyncSender(self.transport)
        self._waits = settings.delivery == "confirm"
        self._channels: list[Channel] = []

    def __repr__(self) -> str:
        """Tell where it is; no secrets."""
        return f"<{type(self).__name__} {self.transport.url.redacted()}>"

    async def publish(self, channel: str, text: str) -> None:
        """Return when Kafka has the event; calls of one loop keep their order.

        All events of a channel share a key, and so a partition: every server gets them in the
        same order. While Kafka is away it waits, up to ``confirm_timeout``. With delivery=report
        it returns when the event is queued, where it waits as long, and a failure is logged.
        Raises DeliveryError, InvalidName, ClosedError.
        """
        record = Outgoing(
            topic=naming.add_vhost(channel, ""),
            key=channel.encode(),
            value=text.encode(),
            message_id=None,
        )
        if self._waits:
            await self._sender.send(record)
        else:
            await self._sender.queue(record)

    async def pin(self, channel: str) -> Channel:
        """Have a channel read from now on, until ``close``, whether anybody wants its events.

        Returns at once; a Kafka that is away is waited for. Raises InvalidName.
        """
        found = self._channel(channel)
        found.pinned = True
        return found

    @asynccontextmanager
    async def events(self, channel: str) -> AsyncIterator[AsyncIterator[Broadcasted]]:
        """Enter an iteration over a channel's events; see ``Channel.events``."""
        found = self._channel(channel)
        try:
            async with found.events() as events:
                yield events
        finally:
            if not found.pinned:
                self._channels.remove(found)
                await found.close()

    def _channel(self, channel: str) -> Channel:
        """Return a channel of this loop that nobody has, a new one if there is none."""
        topic = naming.add_vhost(channel, "")
        loop = asyncio.get_running_loop()
        for one in self._channels:
            if one.topic == topic and one.loop is loop and not one.taken:
                return one
        made = Channel(self.transport, topic)
        self._channels.append(made)
        return made

    def problems(self) -> list[str]:
        """Return what keeps its readers from their work, in words. Cheap."""
        return [problem for one in list(self._channels) for problem in one.problems()]

    async def close(self) -> None:
        """Deliver what is on its way, at most ``close_timeout``; fail what is left. Idempotent."""
        here = asyncio.get_running_loop()
        mine = [one for one in self._channels if one.loop is here]
        await asyncio.gather(*(one.close() for one in mine))
        await asyncio.to_thread(self.transport.cleanup)
        self._sender.close()


_lock = threading.Lock()
_backbones: dict[tuple[str, str], Backbone] = {}


def backbone(url: str, *, delivery: str = "confirm") -> Backbone:
    """Return this process's backbone at ``url``, so that there is one producer.

    ``delivery`` is for a URL that does not say. Raises ConfigurationError.
    """
    with _lock:
        found = _backbones.get((url, delivery))
        if found is None:
            found = _backbones[url, delivery] = Backbone(url, delivery=delivery)
        return found


async def close_all() -> None:
    """Close every backbone of this process; a later use makes a new one."""
    with _lock:
        left = list(_backbones.values())
        _backbones.clear()
    await asyncio.gather(*(each.close() for each in left))


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - a thread of the parent may hold the old one
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
