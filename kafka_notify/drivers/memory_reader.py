# SPDX-License-Identifier: Apache-2.0
"""The reader of the memory driver: partitions named by its owner, in no group."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from kafka_notify.core.message import Partition, Record
from kafka_notify.drivers.base import OnProblem
from kafka_notify.drivers.memory_cluster import MemoryCluster
from kafka_notify.errors import BrokerRefused, BrokerUnavailable, ClosedError, RecordsGone


class MemoryReader:
    """``drivers.base.ReaderClient`` in memory; all calls from one thread."""

    def __init__(self, cluster: MemoryCluster, *, on_problem: OnProblem) -> None:
        self._cluster = cluster
        self._on_problem = on_problem
        self._positions: dict[Partition, int] = {}
        self._told = False
        self._open = True

    def _check_open(self) -> None:
        if not self._open:
            raise ClosedError(f"the reader of {self._cluster.address} is closed")

    # --- questions; during an outage they raise at once

    def partition_counts(self, topics: Sequence[str], timeout_s: float) -> dict[str, int]:
        """Return the partitions of those topics that exist."""
        self._check_open()
        with self._cluster.changed:
            self._cluster.check_available("asking for topics")
            counts = self._cluster.topics()
        return {topic: counts[topic] for topic in topics if topic in counts}

    def start_offsets(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Return the first offset of each partition."""
        with self._cluster.changed:
            self._known(partitions)
            return {one: self._cluster.start_of(one) for one in partitions}

    def end_offsets(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Return the offset that the next record of each partition will get."""
        with self._cluster.changed:
            self._known(partitions)
            return {one: len(self._cluster.log(one) or ()) for one in partitions}

    def _known(self, partitions: Sequence[Partition]) -> None:
        self._check_open()
        self._cluster.check_available("reading where partitions start or end")
        for partition in partitions:
            if self._cluster.log(partition) is None:
                raise BrokerRefused(
                    f"there is no partition {partition} at {self._cluster.address}",
                    code="UNKNOWN_TOPIC_OR_PART",
                )

    # --- records

    def read_from(self, next_offsets: Mapping[Partition, int]) -> None:
        """Read these partitions, and no others; see ``ReaderClient``."""
        self._check_open()
        self._positions = dict(next_offsets)

    def take(self, limit: int, timeout_s: float) -> list[Record]:
        """Return what is there; see ``ReaderClient.take``."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._check_open()
            self._tell()
            with self._cluster.changed:
                if not self._cluster.unavailable:
                    self._raise_if_gone()
                    records = self._collect(limit)
                    if records:
                        return records
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return []
                self._cluster.changed.wait(left_s)

    def _raise_if_gone(self) -> None:
        gone = [
            one
            for one, position in self._positions.items()
            if position < self._cluster.start_of(one)
        ]
        if not gone:
            return
        for one in gone:
            del self._positions[one]
        raise RecordsGone(
            f"reading from {self._cluster.address}: the next records of "
            f"{', '.join(map(str, gone))} are not there any more",
            partitions=gone,
        )

    def _collect(self, limit: int) -> list[Record]:
        found: list[Record] = []
        for partition, position in self._positions.items():
            log = self._cluster.log(partition) or []
            some = log[position : position + limit - len(found)]
            self._positions[partition] = position + len(some)
            found += some
        return found

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

    # --- the end

    def abandon(self) -> None:
        """Forget everything, in a child of fork."""
        self._open = False

    def close(self) -> None:
        """Read nothing more."""
        self._open = False
