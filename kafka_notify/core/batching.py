# SPDX-License-Identifier: Apache-2.0
"""When records become a unit of work: at once, or as batches by size and time.

Time is what the caller says it is. Nothing here has been committed: a batch that is still open
can be dropped, and its records are read again by whoever has the partition next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Partition, Record
from kafka_notify.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRule:
    """``size`` records, or what is there ``timeout_s`` after the first; None: wait for all."""

    size: int
    timeout_s: float | None

    def __post_init__(self) -> None:
        """Refuse sizes and times that no batch can have."""
        if self.size < 1:
            raise ConfigurationError(f"batch_size {self.size} is below 1")
        if self.timeout_s is not None and self.timeout_s < 0:
            raise ConfigurationError(f"batch_timeout {self.timeout_s} is negative")


class Batcher:
    """The open batch of one listener; without a rule each record is a unit of its own."""

    def __init__(self, rule: BatchRule | None) -> None:
        self._rule = rule
        self._open: list[Record] = []
        self._due_at = float("inf")

    @property
    def open_records(self) -> int:
        """How many records wait for their batch to close."""
        return len(self._open)

    def add(self, records: Iterable[Record], now_s: float) -> list[Unit]:
        """Take records in their order; return the units that are complete."""
        if self._rule is None:
            return [Unit((record,)) for record in records]
        units = []
        for record in records:
            if not self._open and self._rule.timeout_s is not None:
                self._due_at = now_s + self._rule.timeout_s
            self._open.append(record)
            if len(self._open) >= self._rule.size:
                units.append(self._close())
        return units

    def due(self, now_s: float) -> list[Unit]:
        """Return the open batch if its time has come."""
        return [self._close()] if self._open and now_s >= self._due_at else []

    def wait_s(self, now_s: float, at_most_s: float) -> float:
        """Return how long to wait for more records before ``due`` has something."""
        return max(0.0, min(at_most_s, self._due_at - now_s))

    def drop(self, partitions: Collection[Partition]) -> int:
        """Forget the open batch's records of these partitions; return how many they were."""
        before = len(self._open)
        self._open = [record for record in self._open if record.where not in partitions]
        if not self._open:
            self._due_at = float("inf")
        return before - len(self._open)

    def _close(self) -> Unit:
        unit = Unit(tuple(self._open))
        self._open = []
        self._due_at = float("inf")
        return unit
