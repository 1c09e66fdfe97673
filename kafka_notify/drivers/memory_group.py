# SPDX-License-Identifier: Apache-2.0
"""A consumer group of the memory driver: who owns which partition, and what is committed.

Range assignment, handed over one by one: a partition goes to its new owner only after the old one
gave it up. It calls nobody back and knows no locks; the cluster's condition guards it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kafka_notify.core.message import Partition


class Member:
    """One member; ``lost`` and ``fenced`` tell it what happened to it meanwhile."""

    def __init__(self, topics: Iterable[str]) -> None:
        self.topics = frozenset(topics)
        self.owned: set[Partition] = set()
        self.lost: set[Partition] = set()
        self.fenced = False


class Group:
    """The members of one group in the order they joined."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.committed: dict[Partition, int] = {}
        self.notes: dict[Partition, str] = {}
        self.members: list[Member] = []

    def target(self, member: Member, partition_counts: Mapping[str, int]) -> set[Partition]:
        """Return the partitions that range assignment gives to ``member``.

        Of each topic its subscribers get consecutive partitions, the first ones one more.
        """
        wanted: set[Partition] = set()
        for topic in member.topics:
            subscribers = [other for other in self.members if topic in other.topics]
            count = partition_counts.get(topic, 0)
            if member not in subscribers:
                continue
            each, more = divmod(count, len(subscribers))
            place = subscribers.index(member)
            first = place * each + min(place, more)
            size = each + (place < more)
            wanted.update(Partition(topic, number) for number in range(first, first + size))
        return wanted

    def free(self, partitions: Iterable[Partition]) -> set[Partition]:
        """Return those partitions that no member owns."""
        owned = {partition for member in self.members for partition in member.owned}
        return set(partitions) - owned

    def expel(self) -> None:
        """Take everything from all members."""
        for member in self.members:
            member.lost |= member.owned
            member.owned.clear()

    def fence(self) -> None:
        """Put all members out of the group for good."""
        self.expel()
        for member in self.members:
            member.fenced = True
        self.members.clear()
