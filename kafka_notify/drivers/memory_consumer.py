# SPDX-License-Identifier: Apache-2.0
"""The consumer of the memory driver: it rebalances inside its own ``take``, like Kafka's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from kafka_notify.core.message import Partition, Record
from kafka_notify.drivers.base import OnPartitions, OnProblem, PendingCommit
from kafka_notify.drivers.memory_cluster import MemoryCluster
from kafka_notify.drivers.memory_group import Member
from kafka_notify.errors import (
    AssignmentLost,
    BrokerRefused,
    BrokerUnavailable,
    ClosedError,
    CommitFailed,
    CommitUnanswered,
    ConsumerFenced,
)
from kafka_notify.native import threading


class MemoryConsumer:
    """``drivers.base.ConsumerClient`` in memory; from one thread at a time."""

    def __init__(self, cluster: MemoryCluster, group: str, *, on_problem: OnProblem) -> None:
        self._cluster = cluster
        self._group = cluster.group(group)
        self._on_problem = on_problem
        self._member: Member | None = None
        self._callbacks: tuple[OnPartitions, OnPartitions, OnPartitions] | None = None
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._turn = 0
        self._told = False
        self._open = True

    # --- the group

    def subscribe(
        self,
        topics: Iterable[str],
        *,
        on_assigned: OnPartitions,
        on_revoked: OnPartitions,
        on_lost: OnPartitions,
    ) -> None:
        """Join the group; see ``ConsumerClient.subscribe``."""
        with self._cluster.changed:
            self._check_open()
            self._callbacks = (on_assigned, on_revoked, on_lost)
            if self._member is None:
                self._member = Member(topics)
                self._group.members.append(self._member)
            else:
                self._member.topics = frozenset(topics)
            self._cluster.changed.notify_all()

    def _check_open(self) -> None:
        if not self._open:
            raise ClosedError(
                f"the consumer of group {self._group.name} at {self._cluster.address} is closed"
            )

    def _rebalance(self) -> None:
        """Give up and take over what the group's state asks for; calls back without the lock."""
        if self._member is None or self._callbacks is None:
            return
        on_assigned, on_revoked, on_lost = self._callbacks
        member = self._member
        with self._cluster.changed:
            lost = sorted(member.lost)
            member.lost.clear()
            fenced = member.fenced
            self._drop(lost)
        if lost:
            on_lost(lost)
        if fenced:
            raise ConsumerFenced(
                f"group {self._group.name} at {self._cluster.address}: this member was fenced; "
                "make the consumer anew",
                code="_FATAL",
            )
        with self._cluster.changed:
            revoked = sorted(member.owned - self._target(member))
        if revoked:
            try:
                on_revoked(revoked)
            finally:
                self._give_up(member, revoked)
        with self._cluster.changed:
            gained = sorted(self._group.free(self._target(member)))
            member.owned.update(gained)
            for partition in gained:
                self._positions[partition] = self._group.committed.get(partition, 0)
        if gained:
            on_assigned(gained)

    def _target(self, member: Member) -> set[Partition]:
        return self._group.target(member, self._cluster.topics())

    def _must_rebalance(self) -> bool:
        member = self._member
        if member is None:
            return False
        target = self._target(member)
        return bool(
            member.fenced or member.lost or member.owned - target or self._group.free(target)
        )

    def _give_up(self, member: Member, partitions: Iterable[Partition]) -> None:
        with self._cluster.changed:
            member.owned.difference_update(partitions)
            self._drop(partitions)
            self._cluster.changed.notify_all()

    def _drop(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)
        self._paused.difference_update(partitions)

    # --- records

    def take(self, limit: int, timeout_s: float) -> list[Record]:
        """Return what is there; see ``ConsumerClient.take``."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._check_open()
            self._tell()
            if not self._cluster.unavailable:
                self._rebalance()
            with self._cluster.changed:
                if not self._cluster.unavailable:
                    records = self._collect(limit)
                    if records:
                        return records
                    if self._must_rebalance():
                        continue
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return []
                self._cluster.changed.wait(left_s)

    def _tell(self) -> None:
        """Tell once of each outage."""
        down = self._cluster.unavailable
        if down and not self._told:
            self._on_problem(
                BrokerUnavailable(
                    f"connecting to {self._cluster.address}: it is switched off", code="_TRANSPORT"
                )
            )
        self._told = down

    def _collect(self, limit: int) -> list[Record]:
        """Return records of the partitions in turn, another one first each time."""
        if self._member is None:
            return []
        partitions = sorted(self._member.owned - self._paused)
        if not partitions:
            return []
        first = self._turn % len(partitions)
        self._turn += 1
        found: list[Record] = []
        for partition in partitions[first:] + partitions[:first]:
            position = max(self._positions[partition], self._cluster.start_of(partition))
            log = self._cluster.log(partition) or []
            some = log[position : position + limit - len(found)]
            self._positions[partition] = position + len(some)
            found += some
        return found

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Let ``take`` return no records of these partitions until ``resume``."""
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        """End a pause."""
        self._paused.difference_update(partitions)

    # --- offsets

    def notes(self, partitions: Sequence[Partition], timeout_s: float) -> dict[Partition, str]:
        """Return what was left beside the committed offsets; during an outage raise at once."""
        self._check_open()
        with self._cluster.changed:
            self._cluster.check_available(f"reading the offsets of group {self._group.name}")
            return {partition: self._group.notes.get(partition, "") for partition in partitions}

    def commit(
        self,
        next_offsets: Mapping[Partition, int],
        notes: Mapping[Partition, str] | None = None,
    ) -> None:
        """Store the offsets to go on from; see ``ConsumerClient.commit``."""
        self._check_open()
        with self._cluster.changed:
            try:
                self._cluster.check_available(f"committing for group {self._group.name}")
            except BrokerUnavailable as error:
                raise CommitFailed(str(error), code=error.code, retriable=True) from error
            self._check_may_commit(next_offsets)
            for partition in next_offsets:
                if self._cluster.log(partition) is None:
                    raise CommitFailed(
                        f"group {self._group.name}: there is no partition {partition} at "
                        f"{self._cluster.address}",
                        code="UNKNOWN_TOPIC_OR_PART",
                    )
            self._group.committed.update(next_offsets)
            for partition in next_offsets:
                self._group.notes[partition] = (notes or {}).get(partition, "")

    def begin_commit(self, next_offsets: Mapping[Partition, int]) -> PendingCommit:
        """Return a commit that somebody runs; see ``ConsumerClient.begin_commit``."""
        return _PendingCommit(partial(self.commit, next_offsets))

    def _check_may_commit(self, next_offsets: Mapping[Partition, int]) -> None:
        if self._member is not None:
            foreign = sorted(str(p) for p in next_offsets if p not in self._member.owned)
            if foreign:
                raise AssignmentLost(
                    f"group {self._group.name} at {self._cluster.address}: this member does not "
                    f"own {', '.join(foreign)} any more"
                )
        elif self._group.members and next_offsets:
            raise AssignmentLost(
                f"group {self._group.name} at {self._cluster.address}: only the group's members "
                "may commit, and this is none now"
            )

    def committed(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int | None]:
        """Return the group's committed next offsets; during an outage raise at once."""
        self._check_open()
        with self._cluster.changed:
            self._cluster.check_available(f"reading the offsets of group {self._group.name}")
            return {partition: self._group.committed.get(partition) for partition in partitions}

    def start_offsets(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Return the first offset of each partition."""
        ends = self.end_offsets(partitions, timeout_s)
        return {partition: self._cluster.start_of(partition) for partition in ends}

    def end_offsets(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Return the offset that the next record of each partition will get."""
        self._check_open()
        ends = {}
        with self._cluster.changed:
            self._cluster.check_available("reading where partitions end")
            for partition in partitions:
                log = self._cluster.log(partition)
                if log is None:
                    raise BrokerRefused(
                        f"there is no partition {partition} at {self._cluster.address}",
                        code="UNKNOWN_TOPIC_OR_PART",
                    )
                ends[partition] = len(log)
        return ends

    # --- the end

    def abandon(self) -> None:
        """Forget everything, in a child of fork: its copy of the group has lost this member."""
        self._open = False
        member = self._member
        if member is not None and member in self._group.members:
            self._group.members.remove(member)
            member.owned.clear()

    def close(self) -> None:
        """Leave the group; ``on_revoked`` runs for what is owned still."""
        if not self._open:
            return
        member = self._member
        try:
            if member is not None and self._callbacks is not None and member.owned:
                self._callbacks[1](sorted(member.owned))
        finally:
            self._open = False
            if member is not None:
                with self._cluster.changed:
                    if member in self._group.members:
                        self._group.members.remove(member)
                self._give_up(member, set(member.owned))


class _PendingCommit:
    """A commit that is made by whoever is asked to, at once; see ``PendingCommit``."""

    timeout_s = 60.0

    def __init__(self, commit: Callable[[], None]) -> None:
        self._commit = commit
        self._error: BaseException | None = None
        self._done = threading.Event()
        self._deadline_s = time.monotonic() + self.timeout_s

    def run(self) -> None:
        """Commit."""
        try:
            self._commit()
        except BaseException as error:  # noqa: BLE001 - raised by ``result``
            self._error = error
        self._done.set()

    start = run

    def result(self) -> None:
        """Raise what the commit has raised, or CommitUnanswered."""
        if not self._done.wait(max(0.0, self._deadline_s - time.monotonic())):
            raise CommitUnanswered("nobody has made the commit in time", retriable=True)
        if self._error is not None:
            raise self._error
