# SPDX-License-Identifier: Apache-2.0
"""Commit, then dispatch: at most once, the rule of the deployment guide.

A crash loses at most what is committed and not yet through its endpoints, ``dispatch_window``
records (or one batch, if that is larger).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from kafka_notify.core import events
from kafka_notify.core.batching import Batcher
from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Partition, Record
from kafka_notify.core.settings import Settings
from kafka_notify.errors import AssignmentLost, CommitFailed, CommitUnanswered
from kafka_notify.runtime.commits import Member
from kafka_notify.runtime.counters import Counters
from kafka_notify.runtime.inhand import Hands
from kafka_notify.runtime.relief import Errand, Held


class CommitBefore:
    """``Commits`` of CommitPolicy.BEFORE_DISPATCH."""

    def __init__(
        self,
        member: Member,
        hands: Hands,
        batcher: Batcher,
        *,
        window: int,
        group: str,
        settings: Settings,
        monitor: events.Monitor,
        counters: Counters,
    ) -> None:
        self._member = member
        self._hands = hands
        self._batcher = batcher
        self._window = window
        self._group = group
        self._settings = settings
        self._monitor = monitor
        self._counters = counters

    def room(self) -> int:
        """Return how many records may be taken: none until half of a full window is free."""
        in_hand = self._hands.in_hand
        if in_hand > self._window // 2:
            return 0
        return max(0, self._window - in_hand - self._batcher.open_records)

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until some may be taken; tell whether that is so."""
        return self._hands.wait_for_room(self.room, timeout_s)

    @property
    def longest_wait_s(self) -> float:
        """As long as the intake likes: nothing is ever due."""
        return float("inf")

    def sift(self, records: list[Record]) -> list[Record]:
        """Return them all: what was read before is committed, and not read again."""
        return records

    def work(self) -> None:
        """Do nothing: all is committed."""

    def accept(self, units: list[Unit]) -> Iterator[Errand]:
        """Commit synchronously until it succeeds or the partition is gone; then hand over.

        The thread that has taken the records commits them itself, and another goes on if it hangs:
        a change of threads takes as long as a good part of the commit.
        """
        self._member.gone.clear()
        attempt = 0
        unknown = False
        while units:
            try:
                commit = self._member.client().begin_commit(next_offsets(units))
                if self._member.has_deputy():
                    yield Held(commit.run, commit.timeout_s)
                else:
                    commit.start()
                commit.result()
                break
            except (CommitFailed, AssignmentLost) as error:
                attempt += 1
                unknown = unknown or (
                    error.unknown if isinstance(error, AssignmentLost) else error.retriable
                )
                self._monitor.emit(
                    events.CommitRetried(group=self._group, attempt=attempt, error=error)
                )
                try:
                    if isinstance(error, CommitUnanswered):
                        self._member.refuse_a_stuck_client()
                    self._member.serve_rebalance(attempt)
                except Exception:
                    self._let_go(units, unknown=unknown)
                    raise
                units = self._without_gone(units, unknown=unknown)
                if self._member.is_stopping():
                    # Whoever has the partitions next reads again what is not committed.
                    self._let_go(units, unknown=unknown)
                    return
        if not units:
            return
        self._counters.add("received", sum([len(unit.records) for unit in units]))
        errand = self._hands.hand_over(units, stays=True)
        units.clear()
        if errand is not None:
            yield errand

    def _without_gone(self, units: list[Unit], *, unknown: bool) -> list[Unit]:
        gone = self._member.gone
        if not gone:
            return units
        kept = []
        let_go = 0
        for unit in units:
            records = [record for record in unit.records if record.where not in gone]
            let_go += len(unit.records) - len(records)
            if records:
                kept.append(Unit(tuple(records)) if len(records) < len(unit.records) else unit)
        self._tell_let_go(sorted(gone), let_go, unknown=unknown)
        return kept

    def _let_go(self, units: Sequence[Unit], *, unknown: bool) -> None:
        records = sum(len(unit.records) for unit in units)
        self._tell_let_go(sorted(next_offsets(units)), records, unknown=unknown)

    def _tell_let_go(
        self, partitions: Sequence[Partition], records: int, *, unknown: bool
    ) -> None:
        if records:
            self._monitor.emit(
                events.CommitAbandoned(
                    group=self._group, partitions=partitions, records=records, unknown=unknown
                )
            )

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Do nothing: the client goes on from what is committed."""

    def revoked(self, partitions: Collection[Partition]) -> None:
        """Wait for the endpoints: what is committed is dispatched before others go on."""
        self._drain(partitions)

    def lost(self, partitions: Collection[Partition]) -> None:
        """Do nothing: what is committed is dispatched all the same."""

    def end(self) -> None:
        """Dispatch what is committed."""
        self._drain(None)

    def _drain(self, partitions: Collection[Partition] | None) -> None:
        bound = self._settings.drain_timeout
        left = self._hands.drain(partitions, bound)
        if left:
            self._monitor.emit(events.LeftBehind(group=self._group, records=left, waited_s=bound))


def next_offsets(units: Sequence[Unit]) -> dict[Partition, int]:
    """Return the offset after the last record of each partition."""
    # Topic and partition as plain tuples, made in half the time of partitions.
    offsets = {
        (record.topic, record.partition): record.offset + 1
        for unit in units
        for record in unit.records
    }
    return {Partition(*where): offset for where, offset in offsets.items()}
