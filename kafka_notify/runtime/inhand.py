# SPDX-License-Identifier: Apache-2.0
"""The account of what a listener has in hand: handed over by the intake, and not finished yet.

It says what may run; who runs it, and how, is not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
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

    def hand_over(self, units: Collection[Unit]) -> None:
        """Take units in their order. Never blocks."""

    def wait_for_room(self, has_room: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until ``has_room``, asked whenever something has ended; tell whether that is so."""

    def drain(self, partitions: Iterable[Partition] | None, timeout_s: float) -> int:
        """Wait until none of these partitions' records (None: any) is in hand; return those left.

        What was requeued is handed out again at once. With partitions, those that may be
        discarded are, but for what has begun.
        """

    def discard(self, partitions: Iterable[Partition] | None) -> int:
        """Drop these partitions' records (None: all) that no endpoint has begun; count them."""

    def tell_stuck(self) -> None:
        """Report the endpoints that take longer than ``stuck_after``."""


class InHand:
    """Units from hand-over to finish, those of one lane one after the other. Threads: any."""

    def __init__(self, *, discards: bool) -> None:
        """``discards`` tells that ``begin`` is called before each unit, and ``discard`` works."""
        self.discards = discards
        self._lanes = Lanes()
        self._state = threading.Condition()
        self._of: Counter[Partition] = Counter()  # how many records of each, in all _total
        self._waiting: set[Unit] = set()  # those that have not begun
        self._aside: set[Unit] = set()
        self._held_up: set[Unit] = set()  # behind one that is aside
        self._held_keys: Counter[LaneKey] = Counter()
        self._held_up_records = 0
        self._total = 0

    @property
    def total(self) -> int:
        """How many records are in hand, those set aside included."""
        return self._total

    @property
    def busy(self) -> int:
        """How many of them take room: what can be discarded, and is held up, need not."""
        return self._total - self._held_up_records if self.discards else self._total

    def after_fork_in_child(self) -> None:
        """Have a lock that no thread of the parent holds."""
        self._state = threading.Condition()

    def add(self, units: Collection[Unit]) -> list[Unit]:
        """Take units in their order; return those that may run at once."""
        with self._state:
            for unit in units:
                self._count(unit.records, 1)
            if self.discards:
                self._waiting.update(units)
            ready = self._lanes.add(units)
            if self._held_keys:
                self._hold_up(unit for unit in units if not unit.is_first)
            return ready

    def begin(self, unit: Unit) -> bool:
        """Note that a unit is about to run; tell whether anything of it is left."""
        with self._state:
            self._waiting.discard(unit)
            return bool(unit.records)

    def finish(self, unit: Unit) -> list[Unit]:
        """Take a unit out of the account; return those that may run now."""
        with self._state:
            self._waiting.discard(unit)
            if unit in self._aside:
                self._let_go(unit)
            self._count(unit.records, -1)
            ready = self._lanes.finish(unit)
            self._state.notify_all()
            return ready

    def set_aside(self, unit: Unit) -> None:
        """Note that a unit waits for a time of its own, and those of its lanes behind it."""
        with self._state:
            self._aside.add(unit)
            self._held_keys.update(unit.keys)
            self._hold_up(self._lanes.behind(unit))
            if self.discards:
                self._waiting.add(unit)
            self._state.notify_all()

    def take_up(self, unit: Unit) -> None:
        """End what ``set_aside`` began."""
        with self._state:
            self._let_go(unit)
            if self.discards:
                self._waiting.add(unit)

    def pause(self, unit: Unit) -> None:
        """Note that a unit that is aside, and has begun, waits again."""
        with self._state:
            if self.discards:
                self._waiting.add(unit)
            self._state.notify_all()

    def give_back(self, unit: Unit) -> None:
        """Drop a unit that has begun, and those behind it, for whoever reads them next."""
        with self._state:
            for one in (unit, *self._lanes.behind(unit)):
                self._keep(one, ())
            self._state.notify_all()

    def give_back_aside(self) -> None:
        """Drop the units that wait aside, and those behind, for whoever reads them next."""
        with self._state:
            for unit in (*self._aside.intersection(self._waiting), *self._held_up):
                self._keep(unit, ())
            self._state.notify_all()

    def _keep(self, unit: Unit, records: Sequence[Record]) -> None:
        self._count(unit.records, -1)
        self._count(records, 1)
        if unit in self._held_up:
            self._held_up_records -= len(unit.records) - len(records)
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

    def _count(self, records: Sequence[Record], change: int) -> None:
        self._total += change * len(records)
        for record in records:
            self._of[record.where] += change

    def discard(self, partitions: Iterable[Partition] | None) -> int:
        """Drop the records of these partitions (None: all) from units that have not begun.

        The units stay, with what is left of them, until they are finished. Returns how many.
        """
        unwanted = None if partitions is None else frozenset(partitions)
        with self._state:
            dropped = self._discard(unwanted)
            self._state.notify_all()
        return dropped

    def _discard(self, unwanted: Collection[Partition] | None) -> int:
        before = self._total
        for unit in self._waiting:
            kept = [] if unwanted is None else [r for r in unit.records if r.where not in unwanted]
            if len(kept) < len(unit.records):
                self._keep(unit, kept)
        return before - self._total

    def wait_for_room(self, has_room: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until ``has_room``; tell whether that is so."""
        with self._state:
            return self._state.wait_for(has_room, timeout_s)

    def drain(self, partitions: Iterable[Partition] | None, timeout_s: float) -> int:
        """Wait until no record of these partitions (None: any) is in hand; return those left."""
        watched = None if partitions is None else frozenset(partitions)

        def left() -> int:
            if watched is None:
                return self._total
            if self.discards:
                self._discard(watched)  # again and again: what has begun may have to wait anew
            return sum(self._of[one] for one in watched)

        with self._state:
            self._state.wait_for(lambda: left() == 0, timeout_s)
            return left()
