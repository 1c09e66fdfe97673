# SPDX-License-Identifier: Apache-2.0
"""Everything that happens and is worth telling: a closed list, one class each.

The code that finds something out emits; logs, metrics and tests subscribe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kafka_notify.core.message import Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFailed(Event):
    """A record did not reach Kafka and nobody waits for it who could be told otherwise."""

    topic: str
    message_id: str | None
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryCallbackFailed(Event):
    """The user's ``on_delivery`` raised; the delivery itself is as its report said."""

    message_id: str | None
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportsFailed(Event):
    """The thread that serves delivery reports came upon an error, and goes on."""

    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsUnsent(Event):
    """A transport was closed before Kafka had confirmed these records; each is reported on."""

    count: int
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionProblem(Event):
    """The client says that something is wrong with its connections."""

    address: str
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextOmitted(Event):
    """A notification goes without its context, which could not be made safe to send."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicsCreated(Event):
    """A listener made the topics that it is to listen on."""

    topics: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicsMissing(Event):
    """Topics do not exist and could not be made; they are read from their start once they do."""

    reasons: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStarted(Event):
    """A group that had no offsets in these topics has its start committed now."""

    group: str
    start: str
    offsets: Mapping[Partition, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicsJoinedLate(Event):
    """A running group gets topics that it had no offsets in: they are read from their start."""

    group: str
    topics: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionsAssigned(Event):
    """A listener reads these partitions from now on."""

    group: str
    partitions: Sequence[Partition]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionsRevoked(Event):
    """A listener has given these partitions up in an orderly way."""

    group: str
    partitions: Sequence[Partition]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionsLost(Event):
    """The group gave a listener's partitions to another, having taken it for dead."""

    group: str
    partitions: Sequence[Partition]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSlow(Event):
    """A listener has its start committed, but the group's partitions are still on their way."""

    group: str
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRetried(Event):
    """A commit failed and is tried again; nothing of it is dispatched before it succeeds."""

    group: str
    attempt: int
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitAbandoned(Event):
    """Records were let go uncommitted, since their partitions went to another member.

    ``unknown`` tells that an attempt's outcome never came: the offsets may be stored after all,
    and then nobody dispatches these records.
    """

    group: str
    partitions: Sequence[Partition]
    records: int
    unknown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordUndecodable(Event):
    """A record is no notification; it was counted and skipped."""

    topic: str
    partition: int
    offset: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFailed(Event):
    """An endpoint raised; the notification counts as handled."""

    endpoint: str
    message_ids: Sequence[str | None]
    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind(Event):
    """Endpoints still ran when the time to wait for them was over; theirs are committed."""

    group: str
    records: int
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLettered(Event):
    """A record is in the dead-letter topic now."""

    group: str
    topic: str
    partition: int
    offset: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFailed(Event):
    """A dead letter could not be written; its key stays parked, and it is tried again."""

    group: str
    topic: str
    partition: int
    offset: int
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp(Event):
    """A record that no endpoint has handled goes nowhere, not even to the dead letters."""

    group: str
    topic: str
    partition: int
    offset: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStuck(Event):
    """An endpoint has had a notification for longer than ``stuck_after``."""

    group: str
    message_id: str | None
    topic: str
    partition: int
    offset: int
    running_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ComesAgain(Event):
    """Records that were begun, and are not committed, may be dispatched a second time."""

    group: str
    partitions: Sequence[Partition]
    records: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StillRequeued(Event):
    """A notification was requeued again and again; its key waits, and it holds its place."""

    group: str
    message_id: str | None
    attempts: int
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned(Event):
    """oslo.messaging let go of a notification unsettled, as when its endpoint ended its thread.

    It counts as handled, so that the next of its key may come.
    """

    group: str
    message_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerReopened(Event):
    """A consumer client ended for good and was made anew."""

    group: str
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStarted(Event):
    """A reader gets, in no group, all that comes from these offsets on."""

    topics: Sequence[str]
    offsets: Mapping[Partition, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderReopened(Event):
    """A reader's client was at its end and is made anew; it goes on where it was."""

    topics: Sequence[str]
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsMissed(Event):
    """Kafka has removed records before a reader read them (retention): it goes on after them.

    ``expected`` are the offsets that it wanted next, ``found`` those that it goes on from.
    """

    topics: Sequence[str]
    expected: Mapping[Partition, int]
    found: Mapping[Partition, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerFailed(Event):
    """A listener's thread came upon an error that it goes on after, in a moment."""

    group: str
    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSpooling(Event):
    """Sends do not get through: they go to the outbox from now on."""

    folder: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStraight(Event):
    """Sends get through again and go straight; ``waiting`` are on their way from the outbox."""

    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxAdopted(Event):
    """What a process that has ended left in the outbox is sent by this one."""

    path: str
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxKept(Event):
    """A transport was closed with records in the outbox: another process will send them."""

    path: str
    records: int
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSalvaged(Event):
    """A file of the outbox was damaged: what could be read is in ``path``, the rest in ``aside``.

    ``lost`` are about that many; some of them may have been delivered long ago.
    """

    path: str
    aside: str
    saved: int
    lost: int
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxProblem(Event):
    """The disk does not let the outbox do its work; it is tried again."""

    error: Exception


Subscriber = Callable[[Event], None]


class Monitor:
    """Where events go. Subscribers are called in the emitting thread and must not block."""

    def __init__(self) -> None:
        self._subscribers: tuple[Subscriber, ...] = ()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Add a subscriber. Threads: any; sees the events that come after it."""
        self._subscribers = (*self._subscribers, subscriber)

    def emit(self, event: Event) -> None:
        """Tell all subscribers."""
        for subscriber in self._subscribers:
            subscriber(event)
