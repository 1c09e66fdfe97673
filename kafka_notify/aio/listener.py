# SPDX-License-Identifier: Apache-2.0
"""The listener for coroutines: an async context manager that is iterated over."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Any

from kafka_notify import fork
from kafka_notify.aio.calling import LoopBell
from kafka_notify.aio.transports import TransportOf
from kafka_notify.core import naming
from kafka_notify.core.message import PRIORITIES, Notification, Target
from kafka_notify.errors import ConfigurationError
from kafka_notify.native import time
from kafka_notify.runtime.commits import CommitPolicy
from kafka_notify.runtime.decoder import Decoder
from kafka_notify.runtime.handover import Handover, Message
from kafka_notify.runtime.policies import new_intake, policy_of
from kafka_notify.runtime.redelivery import Redelivery
from kafka_notify.runtime.transport import NotificationTransport

_DISCARD_S = 0.05
_CLOSE_S = 10.0  # what leaving a group may take beyond the drain


class Received:
    """One notification, in the hands of whoever iterates. Threads: the loop's."""

    __slots__ = ("_listener", "_message", "notification")

    def __init__(self, listener: AsyncListener, message: Message) -> None:
        self._listener = listener
        self._message = message
        self.notification: Notification = message.notification

    def __repr__(self) -> str:
        """Tell which; payloads stay out of logs."""
        found = self.notification
        return f"<Received {found.event_type!r} of {found.publisher_id!r}, {found.message_id}>"

    def __getattr__(self, name: str) -> Any:
        """Return what the notification has: payload, event_type, publisher_id, ctxt and so on."""
        if name in Notification._fields:
            return getattr(self.notification, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def done(self) -> None:
        """Take it as handled, so that the next of its key may come. Once; else nothing happens."""
        self._listener._settle(self, requeue=False)

    def requeue(self) -> None:
        """Have it come again, to this pool alone, after a wait that grows; its key waits."""
        self._listener._settle(self, requeue=True)


class AsyncListener:
    """Receive the notifications of a pool in coroutines; at least once, in order per key.

    ::

        listener = AsyncListener("kafka://localhost:9092", ["notifications"], pool="billing")
        async with listener:
            async for one in listener:
                print(one.event_type, one.payload)

    ``async with`` returns when nothing that is sent from then on can be missed. A notification
    counts as handled when its task, or its iterator, asks for the next one, or when the block
    ends; if an exception ends the block, cancellation among them, it is given back and comes
    again, to the next member of the pool. ``done`` and ``requeue`` say it earlier, or otherwise.

    Several tasks may iterate at the same time: those of one key come one after the other, others
    side by side. It belongs to the loop that entered it.

    Args:
        transport: A transport, or the URL of one to be made; None: what ``conf`` holds.
        topics: Names, or Targets.
        pool: Each pool gets every notification; None is the default group.
        priorities: Those to listen on; topics that are missing are made.
        commit_policy: 'after_dispatch' (the default here), or 'share' for no order.
        conf: An oslo.config ConfigOpts, or None.

    Raises:
        ConfigurationError: InvalidTarget, InvalidName, a commit_policy that cannot work here.
    """

    def __init__(
        self,
        transport: NotificationTransport | str | None,
        topics: Iterable[str | Target],
        *,
        pool: str | None = None,
        priorities: Sequence[str] = PRIORITIES,
        commit_policy: CommitPolicy | str = CommitPolicy.AFTER_DISPATCH,
        conf: Any = None,
    ) -> None:
        self._policy = policy_of(commit_policy)
        if self._policy is CommitPolicy.BEFORE_DISPATCH:
            raise ConfigurationError(
                "commit_policy before_dispatch: an iterator may be left at any time, and what is "
                "committed and not handed out yet would be lost; take after_dispatch, or a "
                "NotificationListener"
            )
        if isinstance(topics, (str, Target)):
            raise ConfigurationError(f"topics is a list of topics: [{topics!r}]")
        self._of = TransportOf(transport, conf=conf)
        self.transport = self._of.transport
        targets = [one if isinstance(one, Target) else Target(topic=one) for one in topics]
        self._topics = self.transport.listening_topics(targets, priorities)
        self._group = naming.group_name(pool, self.transport.settings.consumer_group)
        self._running: _Running | None = None
        self._last_of: weakref.WeakKeyDictionary[asyncio.Task[Any], Received] = (
            weakref.WeakKeyDictionary()
        )

    def __repr__(self) -> str:
        """Tell the group and the topics."""
        return f"<{type(self).__name__} {self._group!r} on {', '.join(self._topics)}>"

    async def __aenter__(self) -> AsyncListener:
        """Start, within ``start_timeout``; raises as ``NotificationListener.start``."""
        if self._running is not None:
            raise ConfigurationError(f"{self!r} is running; make another one for another block")
        running = _Running(self.transport, self._policy, self._group, self._topics)
        try:
            await asyncio.to_thread(running.intake.start)
        except BaseException:
            running.stop()
            await self._of.close()
            raise
        self.transport.attach(running)
        self._running = running
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Settle what is out, leave the group, release a transport of its own.

        Takes at most ``drain_timeout`` and ten seconds; cancelling it leaves that to a thread.
        """
        running, self._running = self._running, None
        if running is None:
            return
        for received in list(running.out):
            running.settle(received, requeue=kind is not None)
        running.stop()
        try:
            await asyncio.to_thread(running.wait)
        finally:
            await self._of.close()

    def __aiter__(self) -> AsyncIterator[Received]:
        """Return an iterator of its own; many may run at the same time."""
        return _Iteration(self)

    async def stop(self) -> None:
        """Take nothing more: iterators end, once what they have is handled. Idempotent."""
        if self._running is not None:
            self._running.stop()

    async def _next(self) -> Received:
        task = asyncio.current_task()
        last = self._last_of.pop(task, None) if task is not None else None
        if last is not None:
            last.done()
        received = await self._take()
        if task is not None:
            self._last_of[task] = received
        return received

    async def _take(self) -> Received:
        while True:
            running = self._running
            if running is None or running.stopped:
                raise StopAsyncIteration
            running.bell.silence()
            messages = running.handover.take_now()
            if messages:
                received = Received(self, messages[0])
                running.out[received] = messages[0]
                return received
            await running.bell.rung()

    def _settle(self, received: Received, *, requeue: bool) -> None:
        if self._running is not None:
            self._running.settle(received, requeue=requeue)


class _Running:
    """One block of a listener; a ``Stoppable`` of its transport."""

    def __init__(
        self,
        transport: NotificationTransport,
        policy: CommitPolicy,
        group: str,
        topics: Sequence[str],
    ) -> None:
        self.out: dict[Received, Message] = {}
        self.bell = LoopBell()
        self.stopped = False
        self.handover = Handover(
            Decoder(monitor=transport.monitor, counters=transport.counters),
            group=group,
            monitor=transport.monitor,
            bell=self.bell,
            discards=True,
        )
        self.handover.redelivery = Redelivery.of(self.handover, group=group, transport=transport)
        self.intake = new_intake(
            policy, transport, group=group, topics=topics, batch=None, hands=self.handover
        )
        settings = transport.settings
        self._bound_s = 2 * settings.drain_timeout + settings.kafka_consumer_timeout + _CLOSE_S
        fork.register(self)

    def after_fork_in_child(self) -> None:
        """Forget the parent's client; its threads are not here."""
        self.intake.abandon()
        self.handover.after_fork_in_child()

    def settle(self, received: Received, *, requeue: bool) -> None:
        """Take a notification back, once."""
        message = self.out.pop(received, None)
        if message is not None:
            self.handover.settle(message, requeue=requeue)

    def stop(self) -> None:
        """Take nothing more, and end the iterations. Returns at once."""
        self.stopped = True
        self.intake.ask_to_stop()
        self.handover.stop()

    def wait(self) -> None:
        """Give back what nobody has begun, and wait until the group is left; bounded."""
        deadline = time.monotonic() + self._bound_s
        while self.intake.is_alive() and time.monotonic() < deadline:
            self.handover.discard(None)  # again and again: it may just be taking some
            self.intake.join(_DISCARD_S)
        self.handover.close(_CLOSE_S)


class _Iteration:
    """One ``async for``: asking for the next settles the one before."""

    def __init__(self, listener: AsyncListener) -> None:
        self._listener = listener
        self._last: Received | None = None

    def __aiter__(self) -> _Iteration:
        return self

    async def __anext__(self) -> Received:
        last, self._last = self._last, None
        if last is not None:
            last.done()
        self._last = await self._listener._next()
        return self._last
