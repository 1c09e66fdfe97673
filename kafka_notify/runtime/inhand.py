# SPDX-License-Identifier: Apache-2.0
"""The account of what a listener has in hand: handed over by the intake, and not finished yet.

It says what may run; who runs it, and how, is not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Protocol

from kafka_notify.core.lanes import Lanes, Unit
from kafka_notify.core.message import Partition, Record
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
        """Wait until no record of these partitions (None: any) is in hand; return those left."""


class InHand:
    """Units from hand-over to finish, those of one lane one after the other. Threads: any."""

    def __init__(self) -> None:
        self._lanes = Lanes()
        self._state = threading.Condition()
        self._held: Counter[Partition] = Counter()
        self._total = 0

    @property
    def total(self) -> int:
        """How many records are in hand, those set aside included."""
        return self._total

    def add(self, units: Collection[Unit]) -> list[Unit]:
        """Take units in their order; return those that may run at once."""
        with self._state:
            for unit in units:
                self._total += len(unit.records)
                for record in unit.records:
                    self._held[record.where] += 1
            return self._lanes.add(units)

    def finish(self, unit: Unit) -> list[Unit]:
        """Take a unit out of the account; return those that may run now."""
        with self._state:
            self._total -= len(unit.records)
            for record in unit.records:
                self._held[record.where] -= 1
            ready = self._lanes.finish(unit)
            self._state.notify_all()
            return ready

    def set_aside(self, records: Iterable[Record]) -> None:
        """Note that these wait for a time of their own: whoever gives up partitions need not."""
        with self._state:
            for record in records:
                self._held[record.where] -= 1
            self._state.notify_all()

    def take_up(self, records: Iterable[Record]) -> None:
        """End what ``set_aside`` began."""
        with self._state:
            for record in records:
                self._held[record.where] += 1

    def wait_for_room(self, at_most: int, timeout_s: float) -> bool:
        """Wait until at most ``at_most`` records are in hand; tell whether that is so."""
        with self._state:
            return self._state.wait_for(lambda: self._total <= at_most, timeout_s)

    def drain(self, partitions: Iterable[Partition] | None, timeout_s: float) -> int:
        """Wait until no record of these partitions (None: any) is in hand; return those left."""
        watched = None if partitions is None else tuple(partitions)

        def left() -> int:
            return self._total if watched is None else sum(self._held[one] for one in watched)

        with self._state:
            self._state.wait_for(lambda: left() == 0, timeout_s)
            return left()
