# SPDX-License-Identifier: Apache-2.0
"""Dispatch, then commit: at least once.

What is finished is committed every tenth of a second, with a note of what is finished beyond the
committed offset. A crash repeats what was not committed; nothing else is repeated, but for what an
eviction or a commit without an answer leaves in doubt, and that is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence

from kafka_notify.core import events
from kafka_notify.core.batching import Batcher
from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Partition, Record
from kafka_notify.core.offsets import OffsetTracker
from kafka_notify.core.settings import Settings
from kafka_notify.errors import (
    AssignmentLost,
    CommitFailed,
    CommitUnanswered,
    KafkaNotifyError,
)
from kafka_notify.native import time
from kafka_notify.runtime.commits import Member
from kafka_notify.runtime.counters import Counters
from kafka_notify.runtime.inhand import Hands
from kafka_notify.runtime.relief import Errand

_INTERVAL_S = 0.1
_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
_HELD_UP = 10  # windows that may be held in memory behind requeued notifications


class CommitAfter:
    """``Commits`` of CommitPolicy.AFTER_DISPATCH."""

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
        self._tracker = OffsetTracker()  # the intake's alone, so that no worker waits for it
        self._finished: deque[tuple[Sequence[Record], int]] = deque()
        self._commit_at_s = 0.0
        self._failures = 0
        hands.on_finished = self.finished

    def room(self) -> int:
        """Return how many records may be taken: none until half of a full window is free."""
        busy = self._hands.busy
        if busy > self._window // 2:
            return 0
        room = min(self._window - busy, _HELD_UP * self._window - self._hands.in_hand)
        return max(0, room - self._batcher.open_records)

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until some may be taken; tell whether that is so."""
        return self._hands.wait_for_room(self.room, min(timeout_s, _INTERVAL_S))

    @property
    def longest_wait_s(self) -> float:
        """Until the next commit, while there is something to commit."""
        return _INTERVAL_S if self._tracker.unfinished or self._tracker.has_news else float("inf")

    def sift(self, records: list[Record]) -> list[Record]:
        """Return those that were not finished before the partition came to us."""
        return self._tracker.take(records)

    def accept(self, units: list[Unit]) -> Iterator[Errand]:
        """Hand over; nothing of it is committed yet. Yield what can run in this thread."""
        epoch = self._tracker.epoch
        for unit in units:
            unit.epoch = epoch
        self._counters.add("received", sum([len(unit.records) for unit in units]))
        errand = self._hands.hand_over(units, stays=True)
        units.clear()
        if errand is not None:
            yield errand

    def finished(self, unit: Unit) -> None:
        """Take a unit whose records are done. Threads: any."""
        self._finished.append((unit.records, unit.epoch))

    def _note_finished(self) -> None:
        for _ in range(len(self._finished)):
            self._tracker.finish(*self._finished.popleft())

    # --- committing

    def work(self) -> None:
        """Commit what is finished, if its time has come."""
        now = time.monotonic()
        if now >= self._commit_at_s:
            self._commit_at_s = now + _INTERVAL_S
            self._commit()

    def _commit(self) -> bool:
        """Commit what is finished; tell whether nothing is left to commit."""
        self._note_finished()
        states = self._tracker.due()
        if not states:
            return True
        try:
            self._member.client().commit(
                {where: offset for where, (offset, _) in states.items()},
                {where: note for where, (_, note) in states.items()},
            )
        except (CommitFailed, AssignmentLost) as error:
            self._failures += 1
            self._monitor.emit(
                events.CommitRetried(group=self._group, attempt=self._failures, error=error)
            )
            backoff_s = _BACKOFF_S[min(self._failures, len(_BACKOFF_S)) - 1]
            self._commit_at_s = time.monotonic() + backoff_s
            if isinstance(error, CommitUnanswered):
                self._member.refuse_a_stuck_client()
            return False
        self._failures = 0
        self._tracker.committed(states)
        return True

    def _commit_within(self, bound_s: float) -> None:
        """Commit what is finished before the partitions go; tell what cannot be."""
        deadline = time.monotonic() + bound_s
        attempt = 0
        try:
            while not self._commit() and time.monotonic() < deadline:
                attempt += 1
                time.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S)) - 1])
        except KafkaNotifyError as error:
            self._monitor.emit(events.ListenerFailed(group=self._group, error=error))

    # --- partitions

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Learn what of them is finished already."""
        bound = self._settings.connect_timeout
        committed: dict[Partition, int | None] = dict.fromkeys(partitions)
        notes: dict[Partition, str] = {}
        try:
            committed = self._member.client().committed(partitions, bound)
            notes = self._member.client().notes(partitions, bound)
        except KafkaNotifyError as error:
            self._monitor.emit(
                events.ComesAgain(
                    group=self._group,
                    partitions=partitions,
                    records=0,
                    reason=f"what is finished of them could not be read: {error}",
                )
            )
        self._tracker.assign({one: (committed.get(one), notes.get(one, "")) for one in partitions})

    def revoked(self, partitions: Collection[Partition]) -> None:
        """Let endpoints that have begun end, and commit; others get the rest."""
        self._give_up(partitions, self._hands.drain(partitions, self._settings.drain_timeout))

    def _give_up(self, partitions: Collection[Partition], running: int) -> None:
        bound = self._settings.drain_timeout
        self._commit_within(bound / 2)
        self._forget(
            partitions,
            running,
            f"their endpoints still ran after {bound:g} s"
            if running
            else "that they are done could not be committed",
        )

    def lost(self, partitions: Collection[Partition]) -> None:
        """Forget what has not begun; what has may be dispatched by another member as well."""
        running = self._hands.drain(partitions, 0)
        self._forget(partitions, running, "the group took this listener for dead")

    def _forget(self, partitions: Collection[Partition], records: int, reason: str) -> None:
        self._note_finished()
        records += self._tracker.doubtful(partitions)
        self._tracker.forget(partitions)
        if records:
            self._monitor.emit(
                events.ComesAgain(
                    group=self._group,
                    partitions=sorted(partitions),
                    records=records,
                    reason=reason,
                )
            )

    def end(self) -> None:
        """Finish what is in hand, and commit; whoever comes next gets what is not finished."""
        running = self._hands.drain(None, self._settings.drain_timeout)
        if running:
            running -= self._hands.discard(None)
        self._give_up(self._tracker.partitions, running)
