# SPDX-License-Identifier: Apache-2.0
"""What whoever polls has in hand of one listener: taken by polls, settled one by one.

A key's next notification is handed out when the one before is settled: acknowledged, or requeued
and then acknowledged. oslo.messaging's executor takes all that it is given, so what is out at one
time is bounded here, by the listener's window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kafka_notify.core.events import Abandoned, Monitor
from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Notification, Record
from kafka_notify.errors import UndecodableRecord
from kafka_notify.native import threading, time
from kafka_notify.runtime.basehands import BaseHands
from kafka_notify.runtime.decoder import Decoder
from kafka_notify.runtime.redelivery import Todo
from kafka_notify.runtime.stuck import Stuck

_END_LOOK_S = 0.05  # between two looks whether the intake has ended
_ABANDONED_LOOK_S = 1.0


class Bell(Protocol):
    """One waits; anybody rings. A ring after ``silence`` ends the next wait at once."""

    def silence(self) -> None:
        """Forget earlier rings. Threads: the one that waits."""

    def wait(self, timeout_s: float) -> None:
        """Wait for a ring, at most so long."""

    def ring(self) -> None:
        """End the wait. Never blocks. Threads: any."""


@dataclass(slots=True, eq=False)
class Delivery:
    """A unit on its way through the endpoints: which of its messages are out, which come again."""

    unit: Unit
    out: set[Message] = field(default_factory=set)
    again: list[Message] = field(default_factory=list)
    dead: list[tuple[Record, int, str]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Message:
    """One notification that is out."""

    delivery: Delivery
    record: Record
    notification: Notification


class Handover(BaseHands):
    """The hands of one listener (see ``Hands``), and the queue that somebody polls.

    Threads: any for ``settle``; one for ``take``. Requeued notifications are handed out again as
    ``Redelivery`` says; meanwhile their keys wait, and others do not.
    """

    def __init__(
        self,
        decoder: Decoder,
        *,
        group: str,
        monitor: Monitor,
        bell: Bell,
        here: Callable[[], int] = threading.get_ident,
        discards: bool = False,
        stuck: Stuck | None = None,
        limit: int = 0,
    ) -> None:
        """At most ``limit`` units are out at a time; 0: the window alone bounds them.

        ``here`` names the thread, or green thread, that an endpoint runs in.
        """
        super().__init__(discards=discards, stuck=stuck)
        self._limit = limit
        self._out = 0
        self._decoder = decoder
        self._group = group
        self._monitor = monitor
        self._bell = bell
        self._here = here
        self._lock = threading.Lock()
        self._ready: deque[Unit] = deque()
        self._running: dict[int, Delivery] = {}  # by the thread of its endpoint
        self._abandoned: deque[Message] = deque()
        self._stopping = False
        self.deliver: Callable[[list[Message]], None] | None = None
        """Takes what may come next, in the thread that has settled what it waited for, and may
        run it there; without it the next poll takes it, which is a change of threads more."""

    def after_fork_in_child(self) -> None:
        """Have locks that no thread of the parent holds."""
        super().after_fork_in_child()
        self._lock = threading.Lock()

    # --- for the intake

    def hand_over(self, units: Collection[Unit], *, stays: bool = False) -> None:
        """Take units in their order. Never blocks. Who runs them is oslo.messaging's business."""
        self._make_ready(self.account.add(units))

    # --- for the one that polls

    def take(self, timeout_s: float, is_over: Callable[[], bool]) -> list[Message]:
        """Return the next unit's notifications, none after ``timeout_s``.

        Once stopping, it waits until ``is_over``: what is in hand is still handed out.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            messages = self.take_now()
            if messages:
                return messages
            self._bell.silence()
            messages = self.take_now()  # what came before it was silenced
            if messages:
                return messages
            left_s = deadline - time.monotonic()
            if self._stopping:
                if is_over():
                    # Whoever polls on, unaware that all is over, leaves others their turn.
                    self._bell.wait(_END_LOOK_S)
                    return []
                left_s = _END_LOOK_S
            elif left_s <= 0:
                return []
            self._bell.wait(min(left_s, _ABANDONED_LOOK_S))

    def take_now(self) -> list[Message]:
        """Return the next unit's notifications, none if nothing is ready. Never blocks."""
        self._settle_abandoned()
        while (unit := self._next()) is not None:
            messages = self._hand_out(unit)
            if messages:
                return messages
        return []

    def stop(self) -> None:
        """Hand out what is in hand, and return nothing more once that is all."""
        self._stopping = True
        self._bell.ring()

    def begin(self, message: Message) -> None:
        """Note that its endpoint is about to run, in the calling thread.

        Whatever this thread has begun before, and not settled, nobody will settle any more.
        """
        here = self._here()
        before = self._running.get(here)
        if before is message.delivery:
            return
        self._running[here] = message.delivery
        if self._stuck is not None:
            self._stuck.begin(message.delivery.unit, here)
        if before is not None:
            for left in list(before.out):
                self.abandon(left)

    def runs_here(self) -> bool:
        """Tell whether the calling thread is in an endpoint: it cannot wait for itself."""
        delivery = self._running.get(self._here())
        return delivery is not None and bool(delivery.out)

    def abandon(self, message: Message) -> None:
        """Take back a notification that nobody will settle any more, as done.

        Threads: any, wherever the garbage collector runs; so it takes no lock.
        """
        self._abandoned.append(message)

    def settle(self, message: Message, *, requeue: bool) -> None:
        """Take a notification back, once: done, or to be handed out again.

        What waited for it goes to ``deliver`` before this returns.
        """
        self._settle(message, requeue=requeue, onward=self._pass_on)

    # --- for the redelivery

    def start(self, unit: Unit) -> None:
        """Have a unit handed out by the next poll."""
        self._make_ready([unit])

    def finish(self, unit: Unit) -> None:
        """Account for a unit that is done."""
        self._make_ready(self._account_for(unit))

    # --- within

    def _settle(
        self, message: Message, *, requeue: bool, onward: Callable[[Sequence[Unit]], None]
    ) -> None:
        delivery = message.delivery
        with self._lock:
            if message not in delivery.out:
                return
            delivery.out.remove(message)
            if requeue:
                delivery.again.append(message)
            if delivery.out:
                return
            here = self._here()
            self._running.pop(here, None)
        if self._stuck is not None:
            self._stuck.end(here)
        if (delivery.again or delivery.dead) and self.redelivery is not None:
            self._is_in()
            self.redelivery.take(delivery.unit, _todo(delivery))
        else:
            onward(self._account_for(delivery.unit))

    def _account_for(self, unit: Unit) -> list[Unit]:
        if self.on_finished is not None:
            self.on_finished(unit)
        return self.account.finish((unit,))

    def _pass_on(self, units: Sequence[Unit]) -> None:
        """Make units ready, and deliver what has been so for longest, in the settled one's place.

        The poll takes the others, and all of them if nobody else does.
        """
        deliver = self.deliver
        if deliver is None or self._stopping:
            self._give_up_place(units)
            return
        with self._lock:
            self._ready.extend(units)
            following = self._ready.popleft() if self._ready else None
        if len(units) > 1:
            self._bell.ring()
        if following is None:
            self._is_in()
            return
        messages = self._hand_out(following)
        if messages:
            try:
                deliver(messages)
            except RuntimeError:  # an executor that takes nothing more; a poll may find a way
                messages[0].delivery.out.clear()  # or they would count as abandoned, too
                self._give_up_place([following])

    def _give_up_place(self, units: Sequence[Unit]) -> None:
        """Leave it to the next polls what is handed out."""
        self._is_in()
        self._make_ready(units)

    def _make_ready(self, units: Sequence[Unit]) -> None:
        if units:
            with self._lock:
                self._ready.extend(units)
            self._bell.ring()

    def _next(self) -> Unit | None:
        with self._lock:
            if not self._ready or 0 < self._limit <= self._out:
                return None
            self._out += 1
            return self._ready.popleft()

    def _is_in(self) -> None:
        """Note that a unit is out no more: another may be."""
        with self._lock:
            self._out -= 1
        if self._limit:
            self._bell.ring()

    def _hand_out(self, unit: Unit) -> list[Message]:
        if not self.account.begin(unit):
            self._is_in()
            self.finish(unit)
            return []
        delivery = Delivery(unit)
        messages = []
        for record in unit.records:
            if unit.todo is not None and record not in unit.todo:
                continue  # done, or dead, in an earlier attempt
            try:
                notification = self._decoder.decode(record)
            except UndecodableRecord as error:
                delivery.dead.append((record, 0, str(error)))
            else:
                messages.append(Message(delivery, record, notification))
        delivery.out.update(messages)
        if messages:
            return messages
        self._is_in()
        if delivery.dead and self.redelivery is not None:
            self.redelivery.take(unit, _todo(delivery))
        else:
            self.finish(unit)
        return []

    def _settle_abandoned(self) -> None:
        while self._abandoned:
            message = self._abandoned.popleft()
            if message in message.delivery.out:
                self._monitor.emit(
                    Abandoned(group=self._group, message_id=message.notification.message_id)
                )
                self._settle(message, requeue=False, onward=self._give_up_place)


def _todo(delivery: Delivery) -> Todo:
    records = [message.record for message in delivery.again]
    first = delivery.again[0] if delivery.again else None
    return Todo(
        dead=delivery.dead,
        records=records,
        work=records,
        error="its endpoint raised, or asked for it" if records else "",
        message_id=first.notification.message_id if first is not None else None,
    )
