# SPDX-License-Identifier: Apache-2.0
"""Records to Kafka, awaited: until all in-sync replicas have one, or until it is queued."""

from __future__ import annotations

import asyncio
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from kafka_notify.aio.calling import call_soon
from kafka_notify.errors import DeliveryError, DeliveryTimeout, SendBufferFull
from kafka_notify.runtime.outgoing import Outgoing
from kafka_notify.runtime.retry import check_retry, policy
from kafka_notify.runtime.sender import REPORT_GRACE_S, Sender
from kafka_notify.runtime.transport import NotificationTransport

_FULL_LOOK_S = 0.01
_OUTBOX_THREADS = 4


class AsyncSender:
    """Send records over a transport. Loops: any number, at the same time.

    A transport with an outbox writes to the disk, so its sends go through a few threads that all
    calls share.
    """

    def __init__(self, transport: NotificationTransport) -> None:
        self._transport = transport
        self._turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            weakref.WeakKeyDictionary()
        )
        self._threads: ThreadPoolExecutor | None = None
        if transport.settings.outbox != "off":
            self._threads = ThreadPoolExecutor(_OUTBOX_THREADS, "kafka-notify-outbox-aio")

    @cached_property
    def _telling(self) -> Sender:
        """What tells of each record's end; who only queues needs none."""
        return self._transport.telling_sender()

    async def send(self, record: Outgoing, retry: int | None = 0) -> None:
        """Return when Kafka has the record. Calls of one loop are queued in the order they come.

        ``retry``: None or -1 tries for ever, 0 once, n up to n more times; each attempt takes at
        most ``confirm_timeout`` (``delivery_timeout`` with delivery=report). While the send
        buffer is full it waits for room, at most ``send_block_timeout``. Raises DeliveryTimeout,
        DeliveryRefused, SendBufferFull, ClosedError. A call that is cancelled no longer waits;
        its record is on its way all the same, unless it was still waiting for room.
        """
        if self._threads is not None:
            loop = asyncio.get_running_loop()
            call = self._telling.send_confirmed
            await loop.run_in_executor(self._threads, call, record, retry)
            return
        more = check_retry(retry)
        try:
            await self._attempt(record, 1)
        except DeliveryError as error:
            if more == 0 or not error.retriable:
                raise
            await self._retry(record, more)

    async def queue(self, record: Outgoing) -> None:
        """Return when the client, or the outbox, has the record, as delivery=report does.

        In the order of the calls of one loop; whoever calls ``send`` as well has two orders. A
        record that fails later is counted, logged, and told to ``on_delivery``. Waits only while
        the send buffer is full. Raises SendBufferFull, DeliveryRefused, ClosedError.
        """
        sender = self._transport.sender
        loop = asyncio.get_running_loop()
        if self._threads is not None:
            await loop.run_in_executor(self._threads, sender.send, record)
        else:
            await self._offer(sender, record, None, loop)

    async def _retry(self, record: Outgoing, more: int | None) -> None:
        import tenacity

        async for attempt in tenacity.AsyncRetrying(**policy(more)):
            with attempt:
                await self._attempt(record, attempt.retry_state.attempt_number + 1)

    async def _attempt(self, record: Outgoing, number: int) -> None:
        loop = asyncio.get_running_loop()
        outcome = _Outcome(loop)
        await self._offer(self._telling, record, outcome, loop)
        settings = self._transport.settings
        bound_s = (
            settings.confirm_timeout
            if settings.delivery == "confirm"
            else settings.delivery_timeout
        )
        silence = loop.call_later(bound_s + REPORT_GRACE_S, outcome.give_up)
        try:
            error = await outcome.future
        finally:
            silence.cancel()
        if error is not None:
            self._telling.raise_failed(record, error, number)

    async def _offer(
        self,
        sender: Sender,
        record: Outgoing,
        outcome: _Outcome | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        turn = self._turns.get(loop)
        if turn is None:
            turn = self._turns[loop] = asyncio.Lock()
        async with turn:  # free unless the buffer is full, and then it is first come, first served
            deadline = loop.time() + self._transport.settings.send_block_timeout
            while True:
                try:
                    sender.offer(record, outcome)
                    return
                except SendBufferFull as full:
                    if loop.time() >= deadline:
                        raise sender.stayed_full(record) from full
                await asyncio.sleep(_FULL_LOOK_S)

    def close(self) -> None:
        """Release what is this sender's own; the transport stays open."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)


class _Outcome:
    """A record's end, told by the reports' thread (see ``Told``), awaited in a loop."""

    __slots__ = ("_loop", "future")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.future: asyncio.Future[DeliveryError | None] = loop.create_future()

    def set(self, error: DeliveryError | None) -> None:
        """Let the caller go on. Threads: any."""
        call_soon(self._loop, self._settle, error)

    def give_up(self) -> None:
        """Let the caller go on without a report: the client has forgotten the record."""
        self._settle(DeliveryTimeout("the client gave no delivery report", retriable=True))

    def _settle(self, error: DeliveryError | None) -> None:
        if not self.future.done():
            self.future.set_result(error)
