# SPDX-License-Identifier: Apache-2.0
"""The cluster behind ``memory://``: topics, groups and the faults that a test can switch on.

It has no threads: whatever waits, waits on ``changed``, the one condition that guards all state.
"""

from __future__ import annotations

import os
import time
import weakref
import zlib
from collections.abc import Callable, Sequence
from typing import ClassVar

from kafka_notify.core.message import Partition, Record
from kafka_notify.drivers.memory_group import Group
from kafka_notify.errors import BrokerRefused, BrokerUnavailable, DeliveryError, DeliveryRefused
from kafka_notify.native import threading

DEFAULT_PARTITIONS = 4


class MemoryCluster:
    """One in-process cluster; every driver of ``memory://NAME`` in this process uses it.

    ``default_partitions`` is what topics get that ask for no number; ``auto_create`` lets a send
    to a missing topic create it, as Kafka does by default; ``deny_creation`` refuses new topics
    to everybody. ``clock`` gives seconds: the records' timestamps and the delivery timeout follow
    it, so a test that replaces it needs not wait.
    """

    _named: ClassVar[weakref.WeakValueDictionary[str, MemoryCluster]] = (
        weakref.WeakValueDictionary()
    )
    _named_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, name: str) -> None:
        self.name = name
        self.changed = threading.Condition(threading.RLock())
        self.default_partitions = DEFAULT_PARTITIONS
        self.auto_create = True
        self.deny_creation = False
        self.clock: Callable[[], float] = time.time
        self._unavailable = False
        self._topics: dict[str, list[list[Record]]] = {}
        self._arrived: dict[str, list[Record]] = {}
        self._refused: dict[str, DeliveryError] = {}
        self._groups: dict[str, Group] = {}
        self._starts: dict[Partition, int] = {}

    @classmethod
    def find(cls, name: str) -> MemoryCluster:
        """Return the cluster of this name, a new one if there is none.

        It lives as long as somebody holds it: a driver that is not closed, or the caller.
        """
        with cls._named_lock:
            cluster = cls._named.get(name)
            if cluster is None:
                cluster = cls._named[name] = cls(name)
            return cluster

    @classmethod
    def after_fork_in_child(cls) -> None:
        """Replace the locks, which a thread of the parent may have held at that moment."""
        cls._named_lock = threading.Lock()
        for cluster in list(cls._named.values()):
            cluster.changed = threading.Condition(threading.RLock())

    def __repr__(self) -> str:
        """Show what there is, and which faults are on."""
        sizes = {topic: len(records) for topic, records in self._arrived.items()}
        state = "unavailable" if self._unavailable else "up"
        return f"<{type(self).__name__} {self.address} {state} {sizes}>"

    @property
    def address(self) -> str:
        """What stands in messages for the brokers' addresses."""
        return f"memory://{self.name}"

    # --- what tests look at

    def topics(self) -> dict[str, int]:
        """Return the number of partitions of each topic."""
        with self.changed:
            return {name: len(parts) for name, parts in self._topics.items()}

    def records(self, topic: str) -> list[Record]:
        """Return all records of a topic in the order they arrived; none of a missing topic."""
        with self.changed:
            return list(self._arrived.get(topic, ()))

    def committed(self, group: str) -> dict[Partition, int]:
        """Return the next offsets that a group has committed."""
        with self.changed:
            return dict(self.group(group).committed)

    # --- faults

    @property
    def unavailable(self) -> bool:
        """Whether no broker answers.

        Sends wait until their delivery timeout, commits and questions fail, nothing is received.
        """
        return self._unavailable

    @unavailable.setter
    def unavailable(self, value: bool) -> None:
        with self.changed:
            self._unavailable = value
            self.changed.notify_all()

    def refuse(self, topic: str, error: DeliveryError | None) -> None:
        """Let every record for ``topic`` be reported on with ``error``; None ends that."""
        with self.changed:
            if error is None:
                self._refused.pop(topic, None)
            else:
                self._refused[topic] = error

    def forget(self, topic: str, partition: int, next_start: int) -> None:
        """Remove the records of a partition below an offset, as retention does."""
        with self.changed:
            self._starts[Partition(topic, partition)] = next_start
            self.changed.notify_all()

    def expel(self, group: str) -> None:
        """Take all partitions from a group's members, as when their session has timed out.

        Each notices in its next ``take``: ``on_lost``, then it joins again.
        """
        with self.changed:
            self.group(group).expel()
            self.changed.notify_all()

    def fence(self, group: str) -> None:
        """End the clients of a group's members for good: ``take`` raises ConsumerFenced."""
        with self.changed:
            self.group(group).fence()
            self.changed.notify_all()

    def create_topic(self, name: str, partitions: int = -1) -> None:
        """Create a topic, whatever ``deny_creation`` says; one that exists stays as it is."""
        with self.changed:
            if name not in self._topics:
                count = self.default_partitions if partitions == -1 else partitions
                self._topics[name] = [[] for _ in range(count)]
                self._arrived[name] = []
                self.changed.notify_all()

    # --- what the driver's clients call, holding ``changed``

    def group(self, name: str) -> Group:
        """Return a group, which comes into being when it is asked for."""
        return self._groups.setdefault(name, Group(name))

    def check_available(self, doing: str) -> None:
        """Raise BrokerUnavailable during an outage."""
        if self._unavailable:
            raise BrokerUnavailable(
                f"{doing}: {self.address} is switched off (MemoryCluster.unavailable)",
                code="_TRANSPORT",
            )

    def creation_problem(self, topic: str) -> BrokerRefused | None:
        """Return why ``topic`` may not be created, None if it may."""
        if not self.deny_creation:
            return None
        return BrokerRefused(
            f"creating topic {topic} at {self.address}: refused (MemoryCluster.deny_creation)",
            code="TOPIC_AUTHORIZATION_FAILED",
        )

    def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> Record:
        """Add a record and return it; raise the DeliveryError that stands in its way."""
        refused = self._refused.get(topic)
        if refused is not None:
            raise refused
        if topic not in self._topics:
            if not self.auto_create or self.deny_creation:
                raise DeliveryRefused(
                    f"topic {topic} does not exist at {self.address}, and may not be created",
                    topic=topic,
                )
            self.create_topic(topic)
        partitions = self._topics[topic]
        arrived = self._arrived[topic]
        number = (len(arrived) if key is None else zlib.crc32(key)) % len(partitions)
        record = Record(
            topic,
            number,
            len(partitions[number]),
            key,
            value,
            tuple(headers),
            round(self.clock() * 1000),
        )
        partitions[number].append(record)
        arrived.append(record)
        self.changed.notify_all()
        return record

    def start_of(self, partition: Partition) -> int:
        """Return the first offset that a partition has."""
        return self._starts.get(partition, 0)

    def log(self, partition: Partition) -> list[Record] | None:
        """Return the records of one partition, None when there is no such partition."""
        partitions = self._topics.get(partition.topic, [])
        return partitions[partition.number] if partition.number < len(partitions) else None


os.register_at_fork(after_in_child=MemoryCluster.after_fork_in_child)
