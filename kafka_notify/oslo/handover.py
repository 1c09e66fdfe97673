# SPDX-License-Identifier: Apache-2.0
"""What oslo.messaging has in hand of one listener: taken by polls, settled one by one.

A key's next notification is handed out when the one before is settled: acknowledged, or requeued
and then acknowledged. oslo.messaging's executor takes all that it is given, so what is out at one
time is bounded here, by the listener's window.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from kafka_notify.core.events import Abandoned, Monitor, RequeuedAtStop, StillRequeued
from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Notification, Partition, Record
from kafka_notify.native import threading, time
from kafka_notify.oslo.waiting import Bell, current_thread_id
from kafka_notify.runtime.decoder import Decoder
from kafka_notify.runtime.inhand import InHand

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 30.0
_END_LOOK_S = 0.05  # between two looks whether the intake has ended
_ABANDONED_LOOK_S = 1.0
_TELL_FROM_ATTEMPT = 4  # and at every doubling: after 0.7 s, 13 s, 4 min, 13 min…


@dataclass(slots=True, eq=False)
class Delivery:
    """A unit on its way through the endpoints: which of its records are out, which come again."""

    unit: Unit
    records: Sequence[Record]
    attempt: int = 1
    out: set[Message] = field(default_factory=set)
    again: list[Record] = field(default_factory=list)
    since_s: float = 0.0  # monotonic; when it was handed out first


@dataclass(slots=True, eq=False)
class Message:
    """One notification that is out."""

    delivery: Delivery
    record: Record
    notification: Notification


class Handover:
    """The hands of one listener (see ``Hands``), and the queue that oslo.messaging polls.

    Threads: any for ``settle``; one for ``take``. Requeued notifications are handed out again
    after 0.1 s, doubled up to 30 s; meanwhile their keys wait, and others do not.
    """

    def __init__(self, decoder: Decoder, *, group: str, monitor: Monitor, bell: Bell) -> None:
        self._decoder = decoder
        self._group = group
        self._monitor = monitor
        self._bell = bell
        self._account = InHand()
        self._lock = threading.Lock()
        self._ready: deque[Delivery] = deque()
        self._parked: list[tuple[float, int, Delivery]] = []
        self._number = itertools.count()
        self._running: dict[int, Delivery] = {}  # by the thread of its endpoint
        self._abandoned: deque[Message] = deque()
        self._stopping = False

    def __repr__(self) -> str:
        """Tell how much is in hand."""
        return f"<Handover {self._account.total} records in hand, {len(self._parked)} parked>"

    def after_fork_in_child(self) -> None:
        """Have locks that no thread of the parent holds."""
        self._lock = threading.Lock()
        self._account.after_fork_in_child()

    # --- for the intake

    @property
    def in_hand(self) -> int:
        """How many records are committed and not settled, the parked ones included."""
        return self._account.total

    def hand_over(self, units: Collection[Unit]) -> None:
        """Take committed units in their order. Never blocks."""
        self._make_ready(self._account.add(units))

    def wait_for_room(self, at_most: int, timeout_s: float) -> bool:
        """Wait until at most ``at_most`` records are in hand; tell whether that is so."""
        return self._account.wait_for_room(at_most, timeout_s)

    def drain(self, partitions: Iterable[Partition] | None, timeout_s: float) -> int:
        """Wait until no record of these partitions is out; None: until none is in hand."""
        return self._account.drain(partitions, timeout_s)

    # --- for oslo.messaging

    def take(self, timeout_s: float, is_over: Callable[[], bool]) -> list[Message]:
        """Return the next unit's notifications, none after ``timeout_s``.

        Once stopping, it waits until ``is_over``: what is committed is still handed out.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self._bell.silence()
            self._settle_abandoned()
            delivery = self._next()
            if delivery is not None:
                messages = self._hand_out(delivery)
                if messages:
                    return messages
                continue
            left_s = deadline - time.monotonic()
            if self._stopping:
                if is_over():
                    # Whoever polls on, unaware that all is over, leaves others their turn.
                    self._bell.wait(_END_LOOK_S)
                    return []
                left_s = _END_LOOK_S
            elif left_s <= 0:
                return []
            self._bell.wait(min(left_s, self._until_due_s(), _ABANDONED_LOOK_S))

    def stop(self) -> None:
        """Hand out what is parked once more, at once; what is requeued from now on is given up."""
        with self._lock:
            self._stopping = True
        self._bell.ring()

    def begin(self, message: Message) -> None:
        """Note that its endpoint is about to run, in the calling thread.

        Whatever this thread has begun before, and not settled, nobody will settle any more.
        """
        here = current_thread_id()
        before = self._running.get(here)
        self._running[here] = message.delivery
        if before is not None and before is not message.delivery:
            for left in list(before.out):
                self.abandon(left)

    def runs_here(self) -> bool:
        """Tell whether the calling thread is in an endpoint: it cannot wait for itself."""
        delivery = self._running.get(current_thread_id())
        return delivery is not None and bool(delivery.out)

    def abandon(self, message: Message) -> None:
        """Take back a notification that nobody will settle any more, as done.

        Threads: any, wherever the garbage collector runs; so it takes no lock.
        """
        self._abandoned.append(message)

    def settle(self, message: Message, *, requeue: bool) -> None:
        """Take a notification back, once: done, or to be handed out again."""
        delivery = message.delivery
        with self._lock:
            if message not in delivery.out:
                return
            delivery.out.remove(message)
            if requeue:
                delivery.again.append(message.record)
            if delivery.out:
                return
            self._running.pop(current_thread_id(), None)
        if not delivery.again:
            self._make_ready(self._account.finish(delivery.unit))
        elif self._stopping:
            self._give_up(message, delivery.again)
            self._make_ready(self._account.finish(delivery.unit))
        else:
            self._park(delivery, message)

    # --- within

    def _make_ready(self, units: Iterable[Unit]) -> None:
        deliveries = [Delivery(unit, unit.records) for unit in units]
        if deliveries:
            with self._lock:
                self._ready.extend(deliveries)
            self._bell.ring()

    def _next(self) -> Delivery | None:
        with self._lock:
            now = time.monotonic()
            if not (self._parked and (self._stopping or self._parked[0][0] <= now)):
                return self._ready.popleft() if self._ready else None
            delivery = heapq.heappop(self._parked)[2]
        self._account.take_up(delivery.unit)
        return delivery

    def _until_due_s(self) -> float:
        with self._lock:
            if not self._parked:
                return float("inf")
            return max(0.0, self._parked[0][0] - time.monotonic())

    def _hand_out(self, delivery: Delivery) -> list[Message]:
        messages = []
        for record in delivery.records:
            notification = self._decoder.decode(record)
            if notification is not None:
                messages.append(Message(delivery, record, notification))
        delivery.out.update(messages)
        delivery.since_s = delivery.since_s or time.monotonic()
        if not messages:
            self._make_ready(self._account.finish(delivery.unit))
        return messages

    def _settle_abandoned(self) -> None:
        while self._abandoned:
            message = self._abandoned.popleft()
            if message in message.delivery.out:
                self._monitor.emit(
                    Abandoned(group=self._group, message_id=message.notification.message_id)
                )
                self.settle(message, requeue=False)

    def _park(self, delivery: Delivery, message: Message) -> None:
        if delivery.attempt >= _TELL_FROM_ATTEMPT and delivery.attempt.bit_count() == 1:
            self._monitor.emit(
                StillRequeued(
                    group=self._group,
                    message_id=message.notification.message_id,
                    attempts=delivery.attempt,
                    waited_s=time.monotonic() - delivery.since_s,
                )
            )
        wait_s = min(_FIRST_WAIT_S * 2.0 ** min(delivery.attempt - 1, 30), _LONGEST_WAIT_S)
        delivery.records, delivery.again = delivery.again, []
        delivery.attempt += 1
        self._account.set_aside(delivery.unit)
        with self._lock:
            entry = (time.monotonic() + wait_s, next(self._number), delivery)
            heapq.heappush(self._parked, entry)
        self._bell.ring()

    def _give_up(self, message: Message, records: Sequence[Record]) -> None:
        self._monitor.emit(
            RequeuedAtStop(
                group=self._group,
                records=len(records),
                message_id=message.notification.message_id,
            )
        )
