# SPDX-License-Identifier: Apache-2.0
"""The account of what a listener has in hand: handed over by the intake, and not finished yet.

It says what may run; who runs it, and how, is not known here.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from kafka_notify.core.lanes import LaneKey, Lanes, Unit
from kafka_notify.core.message import Partition, Record
from kafka_notify.native import threading

if TYPE_CHECKING:
    from kafka_notify.runtime.redelivery import Redelivery


class Hands(Protocol):
    """Whoever takes units from an intake, and finishes them. Threads: the intake's."""

    on_finished: Callable[[Unit], None] | None
    """Called with each unit that is finished, in whichever thread; the commit policy sets it."""

    redelivery: Redelivery | None
    """What becomes of units that were not handled."""

    @property
    def in_hand(self) -> int:
        """How many records were handed over and are not finished yet."""

    @property
    def busy(self) -> int:
        """How many of them take room; those behind a requeued one need not, if uncommitted."""

    def hand_over(
        self, units: Collection[Unit], *, stays: bool = False
    ) -> Callable[[], None] | None:
        """Take units in their order. Never blocks.

        With ``stays`` the thread that calls is at their disposal: what is returned, if anything,
        is called in it next, and runs some of them; until it is through, no other thread is given
        any so. Threads: one at a time.
        """

    def wait_for_room(self, room: Callable[[], int], timeout_s: float) -> bool:
        """Wait until there is ``room``, asked whenever something has ended; tell whether so."""

    def drain(self, partitions: Iterable[Partition] | None, timeout_s: float) -> int:
        """Wait until none of these partitions' records (None: any) is in hand; return those left.

        What was requeued is handed out again at once. With partitions, those that may be
        discarded are, but for what has begun.
        """

    def discard(self, partitions: Iterable[Partition] | None) -> int:
        """Drop these partitions' records (None: all) that no endpoint has begun; count them."""

    @property
    def patience_s(self) -> float:
        """How long the intake may do something else before it calls ``spread``."""

    def spread(self) -> None:
        """Have what may run, and waits for those who are busy, run elsewhere. Never blocks."""

    def tell_stuck(self) -> None:
        """Report the endpoints that take longer than ``stuck_after``."""


_LOOK_EACH = 16  # units of a line, between two looks for those who wait for room


class _Wait:
    """Somebody who waits until something holds."""

    __slots__ = ("done", "holds", "is_over")

    def __init__(self, holds: Callable[[], object]) -> None:
        self.holds = holds
        self.done = threading.Event()
        self.is_over = False


class InHand:
    """Units from hand-over to finish, those of one lane one after the other. Threads: any.

    Units may also line up, to be run one after the other in the order they came, by one thread:
    as long as endpoints are quick that is all it takes, and costs a third of what lanes do.

    Attributes:
        total: How many records are in hand, those set aside included. To be read only.
    """

    def __init__(self, *, discards: bool) -> None:
        """``discards`` tells that ``begin`` is called before each unit, and ``discard`` works."""
        self.discards = discards
        self._lanes = Lanes()
        self._lock = threading.Lock()
        self._waits: list[_Wait] = []
        self._units: set[Unit] = set()
        self._waiting: set[Unit] = set()  # those that have not begun
        self._aside: set[Unit] = set()
        self._held_up: set[Unit] = set()  # behind one that is aside
        self._held_keys: Counter[LaneKey] = Counter()
        self._held_up_records = 0
        self._line: deque[Unit] = deque()
        self._at_head: Unit | None = None  # the one of the line that runs
        self.total = 0

    @property
    def busy(self) -> int:
        """How many of them take room: what can be discarded, and is held up, need not."""
        return self.total - self._held_up_records if self.discards else self.total

    def after_fork_in_child(self) -> None:
        """Have a lock that no thread of the parent holds."""
        self._lock = threading.Lock()
        self._waits = []
        self._line.clear()

    def add(self, units: Collection[Unit]) -> list[Unit]:
        """Take units in their order; return those that may run at once.

        They stand behind those that have lined up, which enter their lanes now.
        """
        with self._lock:
            ready = self._spread() if self._line or self._at_head else []
            self.total += sum([len(unit.records) for unit in units])
            return ready + self._enter_lanes(units)

    def _enter_lanes(self, units: Collection[Unit]) -> list[Unit]:
        self._units.update(units)
        if self.discards:
            self._waiting.update(units)
        ready = self._lanes.add(units)
        if self._held_keys:
            self._hold_up(unit for unit in units if not unit.is_first)
        return ready

    def begin(self, unit: Unit) -> bool:
        """Note that a unit is about to run; tell whether anything of it is left."""
        try:
            # Without the lock, for which many threads would wait: of this and ``discard``, one
            # takes it out.
            self._waiting.remove(unit)
        except KeyError:
            with self._lock:
                self._waiting.discard(unit)
        return bool(unit.records)

    def finish(self, units: Iterable[Unit]) -> list[Unit]:
        """Take units out of the account; return those that may run now."""
        ready: list[Unit] = []
        with self._lock:
            for unit in units:
                self._units.discard(unit)
                if self.discards:
                    self._waiting.discard(unit)
                if self._aside and unit in self._aside:
                    self._let_go(unit)
                self.total -= len(unit.records)
                ready += self._lanes.finish(unit)
            if self._waits:
                self._wake()
        return ready

    # --- one after the other

    @property
    def is_line_open(self) -> bool:
        """Whether ``next_in_line`` has something for a thread that is not at it already."""
        return bool(self._line) and self._at_head is None and not self._units

    @property
    def has_line(self) -> bool:
        """Whether anything waits in line."""
        return bool(self._line)

    def line_up(self, units: Collection[Unit]) -> bool:
        """Take units to be run in their order by ``next_in_line``; tell whether it did.

        It does not where something is set aside, whose lanes have to wait. What is in the lanes
        ends before the line begins.
        """
        with self._lock:
            if self._aside or self._held_keys:
                return False
            self._line.extend(units)
            self.total += sum([len(unit.records) for unit in units])
            return True

    def next_in_line(self, done: Unit | None = None) -> Unit | None:
        """Account for the one that is done, and return the next; None if there is none.

        One thread at a time is given any. Returns ``done`` itself if the line has been spread
        meanwhile: then it is to be finished as those in lanes are.
        """
        with self._lock:
            if self._at_head is not done:
                return done
            if done is not None:
                self.total -= len(done.records)
            line = self._line
            following = line.popleft() if line and not self._units else None
            self._at_head = following
            # Who waits for room waits for many: looked at now and then, and before the last one.
            if self._waits and not len(line) % _LOOK_EACH:
                self._wake()
            return following

    def spread(self) -> list[Unit]:
        """Have those in line enter their lanes; return those that may run at once."""
        with self._lock:
            return self._spread()

    def _spread(self) -> list[Unit]:
        running, self._at_head = self._at_head, None
        units, self._line = self._line, deque()
        if running is not None:
            self._units.add(running)
            self._lanes.add((running,))
        ready = self._enter_lanes(units)
        if self._waits:
            self._wake()
        return ready

    # --- apart from the others

    def set_aside(self, unit: Unit) -> None:
        """Note that a unit waits for a time of its own, and those of its lanes behind it."""
        with self._lock:
            self._aside.add(unit)
            self._held_keys.update(unit.keys)
            self._hold_up(self._lanes.behind(unit))
            if self.discards:
                self._waiting.add(unit)
            self._wake()

    def take_up(self, unit: Unit) -> None:
        """End what ``set_aside`` began."""
        with self._lock:
            self._let_go(unit)
            if self.discards:
                self._waiting.add(unit)

    def pause(self, unit: Unit) -> None:
        """Note that a unit that is aside, and has begun, waits again."""
        with self._lock:
            if self.discards:
                self._waiting.add(unit)
            self._wake()

    def give_back(self, unit: Unit) -> None:
        """Drop a unit that has begun, and those behind it, for whoever reads them next."""
        with self._lock:
            for one in (unit, *self._lanes.behind(unit)):
                self._keep(one, ())
            self._wake()

    def give_back_aside(self) -> None:
        """Drop the units that wait aside, and those behind, for whoever reads them next."""
        with self._lock:
            for unit in (*self._aside.intersection(self._waiting), *self._held_up):
                self._keep(unit, ())
            self._wake()

    def _keep(self, unit: Unit, records: Sequence[Record]) -> None:
        gone = len(unit.records) - len(records)
        self.total -= gone
        if unit in self._held_up:
            self._held_up_records -= gone
        unit.records = tuple(records)

    def _let_go(self, unit: Unit) -> None:
        self._aside.discard(unit)
        self._held_keys -= Counter(unit.keys)
        for one in self._lanes.behind(unit):
            if one in self._held_up and not any(key in self._held_keys for key in one.keys):
                self._held_up.remove(one)
                self._held_up_records -= len(one.records)

    def _hold_up(self, units: Iterable[Unit]) -> None:
        for unit in units:
            if unit not in self._held_up and any(key in self._held_keys for key in unit.keys):
                self._held_up.add(unit)
                self._held_up_records += len(unit.records)

    def discard(self, partitions: Iterable[Partition] | None) -> int:
        """Drop the records of these partitions (None: all) from units that have not begun.

        The units stay, with what is left of them, until they are finished. Returns how many.
        """
        unwanted = None if partitions is None else frozenset(partitions)
        with self._lock:
            dropped = self._discard(unwanted)
            self._wake()
        return dropped

    def _discard(self, unwanted: Collection[Partition] | None) -> int:
        before = self.total
        if self.discards:
            for unit in self._line:
                self._keep(unit, _without(unwanted, unit.records))
        for unit in list(self._waiting):
            kept = _without(unwanted, unit.records)
            if kept and len(kept) == len(unit.records):
                continue
            try:
                self._waiting.remove(unit)
            except KeyError:
                continue  # it has begun meanwhile
            self._keep(unit, kept)
            if kept:
                self._waiting.add(unit)
        return before - self.total

    # --- waiting

    def wait_for_room(self, room: Callable[[], int], timeout_s: float) -> bool:
        """Wait until there is ``room``; tell whether that is so."""
        return self._wait_until(room, timeout_s)

    def drain(self, partitions: Iterable[Partition] | None, timeout_s: float) -> int:
        """Wait until no record of these partitions (None: any) is in hand; return those left."""
        watched = None if partitions is None else frozenset(partitions)

        def none_left() -> bool:
            if watched is None:
                return not self.total
            if self.discards:
                self._discard(watched)  # again and again: what has begun may have to wait anew
            return not any(self._of(watched))

        if self._wait_until(none_left, timeout_s):
            return 0
        with self._lock:
            return self.total if watched is None else sum(1 for _ in self._of(watched))

    def _of(self, watched: Collection[Partition]) -> Iterator[Record]:
        head = () if self._at_head is None else (self._at_head,)
        units = chain(self._units, self._line, head)
        return (one for unit in units for one in unit.records if one.where in watched)

    def _wait_until(self, holds: Callable[[], object], timeout_s: float) -> bool:
        """Wait until ``holds()``, which is called under the lock; tell whether it does.

        Whoever changes something looks for those who wait, rather than waking them to look: at
        full speed that would be a change of threads for each record.
        """
        with self._lock:
            if holds():
                return True
            wait = _Wait(holds)
            self._waits.append(wait)
        wait.done.wait(timeout_s)
        with self._lock:
            self._waits.remove(wait)
            return bool(holds())

    def _wake(self) -> None:
        for wait in self._waits:
            if not wait.is_over and wait.holds():
                wait.is_over = True
                wait.done.set()


def _without(partitions: Collection[Partition] | None, records: Sequence[Record]) -> list[Record]:
    """Return the records that lie in none of these partitions (None: in any)."""
    return [] if partitions is None else [one for one in records if one.where not in partitions]
