# SPDX-License-Identifier: Apache-2.0
"""What a listener does before it joins its group, so that nothing after it can be missed.

Topics are made, and a group that is new to a topic gets its start committed: from then on no
crash, late joiner or rebalance can move it. Everything without an offset is read from its start,
so partitions and topics that come later lose nothing either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from kafka_notify.core.events import (
    GroupStarted,
    Monitor,
    TopicsCreated,
    TopicsJoinedLate,
    TopicsMissing,
)
from kafka_notify.core.message import Partition
from kafka_notify.core.settings import Settings
from kafka_notify.drivers.base import AdminClient, ConsumerClient
from kafka_notify.errors import AssignmentLost, BrokerUnavailable


class Topics(NamedTuple):
    """What became of the topics that somebody wants.

    Attributes:
        counts: How many partitions each has that exists.
        made: Those that did not exist before.
        unanswered: Those that the cluster has neither made nor refused: to be asked for again.
    """

    counts: dict[str, int]
    made: set[str]
    unanswered: set[str]


def ensure_topics(
    admin: AdminClient, topics: Sequence[str], *, settings: Settings, monitor: Monitor
) -> Topics:
    """Make the topics that do not exist.

    A topic that cannot be made is told to the monitor. Raises BrokerUnavailable or
    BrokerRefused when the cluster cannot be asked. Blocks at most three times ``connect_timeout``.
    """
    counts = admin.partition_counts(topics, settings.connect_timeout)
    missing = [topic for topic in topics if topic not in counts]
    if not missing:
        return Topics(counts, set(), set())
    failures = admin.create_topics(
        missing,
        partitions=settings.topic_partitions,
        replication_factor=settings.topic_replication_factor,
        timeout_s=settings.connect_timeout,
    )
    counts = admin.partition_counts(topics, settings.connect_timeout)
    made = {topic for topic in missing if topic in counts}
    refused = {
        topic: str(failures.get(topic) or "created, but not there yet")
        for topic in missing
        if topic not in made
    }
    if made:
        monitor.emit(TopicsCreated(topics=sorted(made)))
    if refused:
        monitor.emit(TopicsMissing(reasons=refused))
    unanswered = {one for one in refused if isinstance(failures.get(one), BrokerUnavailable)}
    return Topics(counts, made, unanswered)


def commit_start(
    consumer: ConsumerClient,
    counts: dict[str, int],
    made: Collection[str],
    *,
    group: str,
    settings: Settings,
    monitor: Monitor,
) -> None:
    """Commit where the group begins in the topics that it has no offset in.

    Topics that were just made begin at their start, others where ``group_start`` says. A topic
    with an offset in any partition is known to the group; its other partitions came later.
    While the group has live members the broker refuses this; then they are at it already, or the
    topic is new to a running group and is read from its start.
    """
    bound = settings.connect_timeout
    partitions = [Partition(topic, number) for topic in counts for number in range(counts[topic])]
    if not partitions:
        return
    unknown = _unknown_topics(consumer, partitions, bound)
    if not unknown:
        return
    from_end = settings.group_start == "end"
    at_end = [
        one for one in partitions if one.topic in unknown and from_end and one.topic not in made
    ]
    at_start = [
        one for one in partitions if one.topic in unknown and (one.topic in made or not from_end)
    ]
    offsets: dict[Partition, int] = {}
    if at_end:
        offsets.update(consumer.end_offsets(at_end, bound))
    if at_start:
        offsets.update(consumer.start_offsets(at_start, bound))
    try:
        consumer.commit(offsets)
    except AssignmentLost:
        late = _unknown_topics(consumer, partitions, bound)
        if late:
            monitor.emit(TopicsJoinedLate(group=group, topics=sorted(late)))
        return
    start = "beginning" if not at_end else "end"
    monitor.emit(GroupStarted(group=group, start=start, offsets=offsets))


def commit_new_partitions(
    consumer: ConsumerClient, partitions: Sequence[Partition], *, timeout_s: float
) -> None:
    """Commit the start of assigned partitions that the group has no offset in.

    So the group knows their topic before it has read a first record of it, and a member that
    starts when all others have stopped does not take the topic for a new one.
    """
    committed = consumer.committed(partitions, timeout_s)
    new = [partition for partition in partitions if committed.get(partition) is None]
    if new:
        consumer.commit(consumer.start_offsets(new, timeout_s))


def _unknown_topics(
    consumer: ConsumerClient, partitions: Iterable[Partition], timeout_s: float
) -> set[str]:
    committed = consumer.committed(list(partitions), timeout_s)
    known = {partition.topic for partition, offset in committed.items() if offset is not None}
    return {partition.topic for partition in partitions} - known
