# SPDX-License-Identifier: Apache-2.0
"""One topic of the backbone, read all the time, whether somebody wants its events or not.

So whoever subscribes gets every event from that moment on: nothing has to be connected first, and
nothing can be missed meanwhile. A Kafka that is away at the start is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kafka_notify.aio import Reading
from kafka_notify.errors import BrokerError, RecordsGone, UndecodableRecord
from kafka_notify.opal.events import Broadcasted, decode
from kafka_notify.opal.refusals import Refusals
from kafka_notify.runtime.transport import NotificationTransport

_BACKOFF_S = (0.5, 1.0, 2.0, 5.0)
_COMES_BACK_S = 60.0  # how long events wait for a subscriber that was told of a gap


class Channel:
    """A topic's events for one subscriber at a time. It belongs to the loop it was made in."""

    def __init__(self, transport: NotificationTransport, topic: str) -> None:
        self.topic = topic
        self.loop = asyncio.get_running_loop()
        self.taken = False
        self.pinned = False
        self._transport = transport
        self._reading: Reading | None = None
        self._begun = asyncio.Event()
        self._forgetting: asyncio.TimerHandle | None = None
        self._task = asyncio.ensure_future(self._begin())

    def __repr__(self) -> str:
        """Tell the topic, and whether it is read."""
        return f"<{type(self).__name__} {self.topic} {'read' if self.ready else 'waiting'}>"

    @property
    def ready(self) -> bool:
        """Whether its topic is being read."""
        return self._begun.is_set()

    async def await_ready(self, timeout_s: float) -> bool:
        """Wait until its topic is being read, at most so long; tell whether it is."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._begun.wait(), timeout_s)
        return self.ready

    async def _begin(self) -> None:
        failures = 0
        while True:
            reading = Reading(self._transport, [self.topic])
            reading.drop(not self.taken)
            try:
                await reading.start()
            except BrokerError as error:
                self._transport.report_problem(error)
                await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
                failures += 1
            else:
                reading.drop(not self.taken)
                self._reading = reading
                self._begun.set()
                return

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[Broadcasted]]:
        """Enter when every event from now on comes; iterate over them.

        Waits for a Kafka that has been away since the start. A record that is no event costs
        itself only. If Kafka has removed events before they were read, the iteration raises
        RecordsGone, and whoever enters again within a minute gets what comes after them.
        """
        self.taken = True
        refusals = Refusals(self._transport)
        keeps = False
        try:
            await self._begun.wait()
            reading = self._reading
            if reading is None:  # closed meanwhile
                raise asyncio.CancelledError
            if self._forgetting is not None:
                self._forgetting.cancel()
                self._forgetting = None
            reading.drop(False)
            yield self._decoded(reading, refusals)
        except RecordsGone:
            keeps = True
            raise
        finally:
            self.taken = False
            refusals.close()
            if keeps:
                self._forgetting = self.loop.call_later(_COMES_BACK_S, self._forget)
            else:
                self._forget()

    def _forget(self) -> None:
        self._forgetting = None
        if self._reading is not None and not self.taken:
            self._reading.drop(True)

    async def _decoded(self, reading: Reading, refusals: Refusals) -> AsyncIterator[Broadcasted]:
        max_bytes = self._transport.settings.max_record_bytes
        async for record in reading:
            try:
                event = decode(record, max_bytes=max_bytes)
            except UndecodableRecord as error:
                await refusals.take(record, str(error))
                continue
            self._transport.counters.add("received")
            yield event

    def problems(self) -> list[str]:
        """Return what keeps it from its work, in words. Cheap."""
        return self._reading.problems() if self._reading is not None else []

    async def close(self) -> None:
        """Read nothing more: a subscriber's iteration ends. Idempotent; in the channel's loop."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if self._forgetting is not None:
            self._forgetting.cancel()
        reading, self._reading = self._reading, None
        self._begun.set()
        if reading is not None:
            await reading.close()
