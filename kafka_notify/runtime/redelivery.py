# SPDX-License-Identifier: Apache-2.0
"""What happens to units that were not handled: parked, handed out again, or dead-lettered.

Only the keys of a parked unit wait, and in their order. It comes again to this listener alone.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from kafka_notify.core import events
from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Partition, Record
from kafka_notify.core.settings import Settings
from kafka_notify.errors import KafkaNotifyError
from kafka_notify.native import threading, time
from kafka_notify.runtime.counters import Counters
from kafka_notify.runtime.deadletters import DeadLetters
from kafka_notify.runtime.inhand import InHand

if TYPE_CHECKING:
    import tenacity

    from kafka_notify.runtime.transport import NotificationTransport

_TELL_FROM_ATTEMPT = 4  # and at every doubling
_LONGEST_HELD_S = 2.0  # before it is given back: a member of a share group takes nothing meanwhile


@dataclass(slots=True)
class Todo:
    """What is left of a unit after an attempt.

    Attributes:
        dead: Records for the dead-letter topic, after how many attempts, and why.
        records: Those that ask to be handed out again.
        work: What their dispatcher wants to remember of them.
        error: Why they ask.
        message_id: Of one of them.
    """

    dead: list[tuple[Record, int, str]] = field(default_factory=list)
    records: Sequence[Record] = ()
    work: Any = None
    error: str = ""
    message_id: str | None = None


@dataclass(slots=True)
class _Parked:
    """A unit that waits, and what is left of it."""

    unit: Unit
    todo: Todo
    burials: int = 0  # how often its dead letters could not be written


class Redelivering(Protocol):
    """Whoever hands units out, and takes them back."""

    account: InHand

    def start(self, unit: Unit) -> None:
        """Hand out a unit."""

    def finish(self, unit: Unit) -> None:
        """Account for a unit that is done."""


class Givebacks(Protocol):
    """A group that takes single records back, and hands them out again. Threads: any."""

    @property
    def limit(self) -> int:
        """The attempt after which nothing may be given back any more."""

    def release(self, unit: Unit, records: Sequence[Record]) -> None:
        """Give back records of a unit: to whichever member asks first."""

    def reject(self, unit: Unit, record: Record) -> None:
        """Have a record of a unit never come again."""


class Redelivery:
    """The parked units of one listener, and the thread that looks after them. Threads: any.

    A unit is handed out ``requeue_limit`` times, after waits that double from ``requeue_wait`` to
    ``requeue_wait_max``, with jitter; what asks for more goes to the dead-letter topic, as do
    undecodable records at once. A unit counts as in hand until Kafka has confirmed its dead
    letters: a dead-letter topic that cannot be written keeps it, and its keys, parked.
    With ``givebacks`` the group hands out again what asks for it, and counts.
    """

    def __init__(
        self,
        account: InHand,
        dead_letters: DeadLetters,
        *,
        group: str,
        settings: Settings,
        monitor: events.Monitor,
        counters: Counters,
        hand_out: Callable[[Unit], None],
        finish: Callable[[Unit], None],
    ) -> None:
        self._account = account
        self._dead_letters = dead_letters
        self._group = group
        self._settings = settings
        self._monitor = monitor
        self._counters = counters
        self._hand_out = hand_out
        self._finish = finish
        self._waits: tenacity.wait.wait_base | None = None
        self._number = itertools.count()
        self.givebacks: Givebacks | None = None
        self._stopping = False
        self._ended = False
        self._fresh()

    @classmethod
    def of(
        cls, hands: Redelivering, *, group: str, transport: NotificationTransport
    ) -> Redelivery:
        """Return the one for these hands."""
        return cls(
            hands.account,
            DeadLetters(transport.driver, transport.settings, on_problem=transport.report_problem),
            group=group,
            settings=transport.settings,
            monitor=transport.monitor,
            counters=transport.counters,
            hand_out=hands.start,
            finish=hands.finish,
        )

    def _fresh(self) -> None:
        self._changed = threading.Condition()
        self._parked: list[tuple[float, int, _Parked]] = []
        self._thread: threading.Thread | None = None

    def after_fork_in_child(self) -> None:
        """Forget what is the parent's."""
        self._dead_letters.abandon()
        self._fresh()

    @property
    def parked(self) -> int:
        """How many units are parked."""
        return len(self._parked)

    # --- for those who hand out

    def take(self, unit: Unit, todo: Todo) -> None:
        """Take a unit whose attempt left something to do. Never blocks.

        What is not committed, and asks again while its listener stops, is left to the next one.
        """
        now = time.monotonic()
        unit.requeued_s = unit.requeued_s or now
        wait_s = 0.0
        if todo.records:
            self._counters.add("requeued", len(todo.records))
            if self._stopping and self._account.discards:
                self._leave(unit, todo)
                return
            if self._is_last(unit):
                reason = todo.error or "requeued"
                todo.dead += [(record, unit.attempt, reason) for record in todo.records]
                todo.records, todo.work = (), None
            else:
                self._tell_of(unit, todo, now)
                wait_s = self._wait_s(unit.attempt)
                if self.givebacks is not None:
                    wait_s = min(wait_s, _LONGEST_HELD_S)
        self._account.set_aside(unit)
        self._push(_Parked(unit, todo), now + wait_s)
        if self._stopping:
            self.hurry(None)  # the stop may have begun since it was asked about

    def _leave(self, unit: Unit, todo: Todo) -> None:
        if self.givebacks is not None and not todo.dead:
            self.givebacks.release(unit, todo.records)
        else:
            self._account.give_back(unit)
        self._finish(unit)

    def _is_last(self, unit: Unit) -> bool:
        limit = self._settings.requeue_limit
        if self.givebacks is not None and unit.attempt >= self.givebacks.limit:
            return True
        return self._stopping or (limit >= 0 and unit.attempt >= max(1, limit))

    def give_up(self, units: Sequence[Unit], reason: str) -> None:
        """Dead-letter units instead of handing them out. Never blocks."""
        for unit in self._account.add(units):
            dead = [(record, unit.attempt - 1, reason) for record in unit.records]
            self.take(unit, Todo(dead=dead))

    def _tell_of(self, unit: Unit, todo: Todo, now: float) -> None:
        attempt = unit.attempt
        if attempt >= _TELL_FROM_ATTEMPT and attempt.bit_count() == 1:
            self._monitor.emit(
                events.StillRequeued(
                    group=self._group,
                    message_id=todo.message_id,
                    attempts=attempt,
                    waited_s=now - unit.requeued_s,
                )
            )

    def _wait_s(self, attempt: int) -> float:
        # Loaded when something is requeued: its import takes longer than most programs listen.
        import tenacity

        if self._waits is None:
            first_s = self._settings.requeue_wait
            self._waits = tenacity.wait_exponential(
                multiplier=first_s, max=self._settings.requeue_wait_max
            ) + tenacity.wait_random(0, first_s / 2)
        state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
        state.attempt_number = attempt
        return float(self._waits(state))

    def _push(self, parked: _Parked, due_s: float) -> None:
        with self._changed:
            heapq.heappush(self._parked, (due_s, next(self._number), parked))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name=f"kafka-notify-redelivery-{self._group}", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def hurry(self, partitions: Iterable[Partition] | None) -> None:
        """Hand out at once what is parked of these partitions, which others wait for.

        None: of all, for the last time; what asks again then is dead-lettered. What is not
        committed is dropped instead: whoever reads on gets it.
        """
        going = None if partitions is None else frozenset(partitions)
        if going is None:
            self._stopping = True
            if self._account.discards:
                self._account.give_back_aside()
        elif self._account.discards:
            self._account.discard(going)
        self._hasten(
            lambda unit: (
                not unit.records
                or going is None
                or any(record.where in going for record in unit.records)
            )
        )

    def drop_discarded(self) -> None:
        """Finish parked units of which a discard has left nothing."""
        self._hasten(lambda unit: not unit.records)

    def _hasten(self, is_due: Callable[[Unit], bool]) -> None:
        with self._changed:
            self._parked = [
                (0.0 if is_due(parked.unit) else due_s, number, parked)
                for due_s, number, parked in self._parked
            ]
            heapq.heapify(self._parked)
            self._changed.notify_all()

    def close(self, timeout_s: float) -> None:
        """End the thread and release the producer; what is parked still stays undone."""
        with self._changed:
            self._ended = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    # --- the thread

    def _run(self) -> None:
        while True:
            parked = self._next()
            if parked is None:
                break
            try:
                self._go_on(parked)
            except Exception as error:  # noqa: BLE001 - the others go on, and this one later
                self._monitor.emit(events.ListenerFailed(group=self._group, error=error))
                self._push(parked, time.monotonic() + self._settings.requeue_wait_max)
        self._dead_letters.close()

    def _next(self) -> _Parked | None:
        with self._changed:
            while not self._ended:
                now = time.monotonic()
                if self._parked and self._parked[0][0] <= now:
                    return heapq.heappop(self._parked)[2]
                self._changed.wait(self._parked[0][0] - now if self._parked else None)
            return None

    def _go_on(self, parked: _Parked) -> None:
        unit, todo = parked.unit, parked.todo
        if not self._account.begin(unit):
            self._finish(unit)
        elif todo.dead and not self._bury(unit, todo):
            parked.burials += 1
            self._account.pause(unit)
            self._push(parked, time.monotonic() + self._wait_s(parked.burials))
            if self._stopping and self._account.discards and self.givebacks is None:
                self.hurry(None)
        elif todo.records and self.givebacks is not None:
            self.givebacks.release(unit, todo.records)
            self._finish(unit)
        elif todo.records:
            unit.todo = todo.work
            unit.attempt += 1
            self._account.take_up(unit)
            self._hand_out(unit)
        else:
            self._finish(unit)

    def _bury(self, unit: Unit, todo: Todo) -> bool:
        """Write the dead letters; tell whether all are confirmed, and keep those that are not."""
        while todo.dead:
            record, attempts, reason = todo.dead[0]
            if record not in unit.records:
                todo.dead.pop(0)  # it was discarded meanwhile
                continue
            if self._settings.dead_letter:
                try:
                    self._dead_letters.write(
                        record, group=self._group, attempts=attempts, error=reason
                    )
                except KafkaNotifyError as error:
                    self._counters.add("dead_letters_failed")
                    self._monitor.emit(self._event(events.DeadLetterFailed, record, error=error))
                    return False
                self._counters.add("dead_lettered")
                self._monitor.emit(self._event(events.DeadLettered, record, reason=reason))
            else:
                off = f"{reason} (dead_letter is off)"
                self._monitor.emit(self._event(events.GivenUp, record, reason=off))
            if self.givebacks is not None:
                self.givebacks.reject(unit, record)
            todo.dead.pop(0)
        return True

    def _event(self, kind: Callable[..., events.Event], record: Record, **what: Any) -> Any:
        return kind(
            group=self._group,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            **what,
        )
