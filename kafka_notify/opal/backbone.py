# SPDX-License-Identifier: Apache-2.0
"""The backbone of a process: one producer, and a reader for each channel that is listened to."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kafka_notify.aio import AsyncSender, Reading
from kafka_notify.core import naming
from kafka_notify.errors import RecordsGone, UndecodableRecord
from kafka_notify.opal.events import Broadcasted, decode
from kafka_notify.opal.location import locate
from kafka_notify.opal.refusals import Refusals
from kafka_notify.runtime.outgoing import Outgoing
from kafka_notify.runtime.reader import Positions
from kafka_notify.runtime.transport import NotificationTransport


class Backbone:
    """Events to and from the servers of a fleet. Loops: any; survives fork.

    Making one connects to nothing. Raises ConfigurationError for a URL that cannot work.
    """

    def __init__(self, url: str) -> None:
        parsed, settings = locate(url, os.environ)
        self.transport = NotificationTransport(parsed, settings)
        self._sender = AsyncSender(self.transport)
        self._resume: dict[str, Positions] = {}
        self._readings: set[Reading] = set()

    def __repr__(self) -> str:
        """Tell where it is; no secrets."""
        return f"<{type(self).__name__} {self.transport.url.redacted()}>"

    async def publish(self, channel: str, text: str) -> None:
        """Return when Kafka has the event; calls of one loop keep their order.

        All events of a channel share a key, so that they share a partition: every server gets
        them in the same order. While Kafka is away it waits, up to ``confirm_timeout``. Raises
        DeliveryError, ClosedError.
        """
        await self._sender.send(
            Outgoing(
                topic=naming.add_vhost(channel, ""),
                key=channel.encode(),
                value=text.encode(),
                message_id=None,
            )
        )

    @asynccontextmanager
    async def events(self, channel: str) -> AsyncIterator[AsyncIterator[Broadcasted]]:
        """Enter when no event from now on can be missed; iterate over them.

        A record that is no event is counted, logged, and dead-lettered if the option dead_letter
        says so; the next one comes. If Kafka has removed events before they were read, the
        iteration raises RecordsGone; whoever enters again goes on after them.

        Raises BrokerUnavailable or BrokerRefused; takes at most ``start_timeout``.
        """
        reading = Reading(
            self.transport,
            [naming.add_vhost(channel, "")],
            positions=self._resume.pop(channel, None),
        )
        refusals = Refusals(self.transport)
        async with reading:
            self._readings.add(reading)
            try:
                yield self._decoded(reading, refusals)
            except RecordsGone:
                await reading.close()
                self._resume[channel] = reading.positions
                raise
            finally:
                self._readings.discard(reading)
                refusals.close()

    async def _decoded(self, reading: Reading, refusals: Refusals) -> AsyncIterator[Broadcasted]:
        max_bytes = self.transport.settings.max_record_bytes
        async for record in reading:
            try:
                event = decode(record, max_bytes=max_bytes)
            except UndecodableRecord as error:
                await refusals.take(record, str(error))
                continue
            self.transport.counters.add("received")
            yield event

    def problems(self) -> list[str]:
        """Return what keeps its readers from their work, in words. Cheap."""
        return [problem for each in list(self._readings) for problem in each.problems()]

    async def close(self) -> None:
        """Deliver what is on its way, at most ``close_timeout``; fail what is left. Idempotent."""
        await asyncio.to_thread(self.transport.cleanup)
        self._sender.close()


_lock = threading.Lock()
_backbones: dict[str, Backbone] = {}


def backbone(url: str) -> Backbone:
    """Return this process's backbone at ``url``, so that there is one producer.

    Raises ConfigurationError.
    """
    with _lock:
        found = _backbones.get(url)
        if found is None:
            found = _backbones[url] = Backbone(url)
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
