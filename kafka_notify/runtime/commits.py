# SPDX-License-Identifier: Apache-2.0
"""When a notification counts as received: what a commit policy is to the intake that runs it."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Partition, Record
from kafka_notify.drivers.base import ConsumerClient
from kafka_notify.runtime.relief import Errand


class CommitPolicy(str, enum.Enum):
    """When a notification counts as received, and so what a crash of its listener costs."""

    BEFORE_DISPATCH = "before_dispatch"
    """At most once. Committed, then dispatched: a crash loses at most ``dispatch_window``
    notifications, and nothing is dispatched twice. An orderly stop loses nothing."""
    AFTER_DISPATCH = "after_dispatch"
    """At least once. Committed when its endpoints are done: a crash loses nothing, and repeats at
    most what was not committed yet, in order. Without a crash nothing is dispatched twice."""
    SHARE = "share"
    """At least once, in no order: a share group of Kafka 4.2, where more listeners than partitions
    share the work. A preview in librdkafka."""


class Member(Protocol):
    """The intake, as its commits see it. Threads: its own."""

    gone: set[Partition]
    """Partitions that went away since this was cleared."""

    def client(self) -> ConsumerClient:
        """Return the consumer."""

    def serve_rebalance(self, attempt: int) -> None:
        """Let the client tell which partitions are gone; longer with each attempt."""

    def refuse_a_stuck_client(self) -> None:
        """Raise BrokerUnavailable if the coordinator answers others."""

    def is_stopping(self) -> bool:
        """Tell whether the listener was asked to stop."""

    def has_deputy(self) -> bool:
        """Tell whether another thread is free to go on if this one hangs."""


class Commits(Protocol):
    """One commit policy of one listener. Threads: the intake's, but where said otherwise."""

    def room(self) -> int:
        """Return how many records may be taken now."""

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until some may; tell whether that is so."""

    @property
    def longest_wait_s(self) -> float:
        """How long the intake may wait for records before ``work`` has to be called."""

    def sift(self, records: list[Record]) -> list[Record]:
        """Take records as read; return those that are still to be done."""

    def accept(self, units: list[Unit]) -> Iterator[Errand]:
        """Commit and hand over, in the order of the policy.

        What it yields is called in the thread that has asked (see ``Relief``).
        """

    def work(self) -> None:
        """Do what is due."""

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Begin with partitions; called inside the client."""

    def revoked(self, partitions: Collection[Partition]) -> None:
        """End with partitions that another member waits for; called inside the client."""

    def lost(self, partitions: Collection[Partition]) -> None:
        """End with partitions that another member has already; called inside the client."""

    def end(self) -> None:
        """Finish what is in hand, within ``drain_timeout``."""
