# SPDX-License-Identifier: Apache-2.0
"""The account of what a listener has in hand: handed over by the intake, and not finished yet.

It says what may run; who runs it, and how, is not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Protocol

from kafka_notify.core.lanes import Lanes, Unit
from kafka_notify.core.message import Partition
from kafka_notify.native import threading


class Hands(Protocol):
    """Whoever takes committed units from an intake. Threads: the intake's."""

    @property
    def in_hand(self) -> int:
        """How many records were handed over and are not finished yet."""

    def hand_over(self, units: Collection[Unit]) -> None:
        """Take committed units in their order. Never blocks."""

    def wait_for_room(self, at_most: int, timeout_s: float) -> bool:
        """Wait until at most ``at_most`` records are in hand; tell whether that is so."""

    def drain(self, partitions: Iterable[Partition] | None, timeout_s: float) -> int:
        """Wait until none of these partitions' records (None: any) is in hand; return those left.

        Records that wait for a time of their own need not be waited for.
        """


class InHand:
    """Units from hand-over to finish, those of one lane one after the other. Threads: any."""

    def __init__(self) -> None:
        self._lanes = Lanes()
        self._state = threading.Condition()
        self._running: Counter[Partition] = Counter()  # records of units that may run
        self._total = 0

    @property
    def total(self) -> int:
        """How many records are in hand, those set aside included."""
        return self._total

    def after_fork_in_child(self) -> None:
        """Have a lock that no thread of the parent holds."""
        self._state = threading.Condition()

    def add(self, units: Collection[Unit]) -> list[Unit]:
        """Take units in their order; return those that may run at once."""
        with self._state:
            self._total += sum(len(unit.records) for unit in units)
            ready = self._lanes.add(units)
            for unit in ready:
                self._count(unit, 1)
            return ready

    def finish(self, unit: Unit) -> list[Unit]:
        """Take a unit out of the account; return those that may run now."""
        with self._state:
            self._total -= len(unit.records)
            self._count(unit, -1)
            ready = self._lanes.finish(unit)
            for following in ready:
                self._count(following, 1)
            self._state.notify_all()
            return ready

    def set_aside(self, unit: Unit) -> None:
        """Note that a unit waits for a time of its own, and those of its lanes behind it."""
        with self._state:
            self._count(unit, -1)
            self._state.notify_all()

    def take_up(self, unit: Unit) -> None:
        """End what ``set_aside`` began."""
        with self._state:
            self._count(unit, 1)

    def _count(self, unit: Unit, change: int) -> None:
        for record in unit.records:
            self._running[record.where] += change

    def wait_for_room(self, at_most: int, timeout_s: float) -> bool:
        """Wait until at most ``at_most`` records are in hand; tell whether that is so."""
        with self._state:
            return self._state.wait_for(lambda: self._total <= at_most, timeout_s)

    def drain(self, partitions: Iterable[Partition] | None, timeout_s: float) -> int:
        """Wait until no record is in hand; return those left.

        With ``partitions``: until none of theirs runs. What was set aside, and what stands behind
        it, may wait for longer than a partition's next owner should.
        """
        watched = None if partitions is None else tuple(partitions)

        def left() -> int:
            if watched is None:
                return self._total
            return sum(self._running[one] for one in watched)

        with self._state:
            self._state.wait_for(lambda: left() == 0, timeout_s)
            return left()
