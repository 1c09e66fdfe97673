# SPDX-License-Identifier: Apache-2.0
"""The boundary to Kafka: what a driver is, and how one is found by a URL's scheme.

The runtime knows Kafka by these protocols alone. To add a driver, implement ``Driver`` and name it
in an entry point of the group ``kafka_notify.drivers``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

from kafka_notify.core.message import Partition, Record
from kafka_notify.core.settings import Settings
from kafka_notify.core.url import TransportURL
from kafka_notify.errors import (
    BrokerError,
    ConfigurationError,
    ConsumeError,
    DeliveryError,
    DriverNotFound,
)

NAMESPACE = "kafka_notify.drivers"

OnReport = Callable[[Any, str, int, int, "DeliveryError | None"], None]
"""Called with (token, topic, partition, offset, error): once for each record that was queued."""
OnProblem = Callable[[BrokerError], None]
"""Called with what the client says of its connections; from any thread, must not block."""
OnPartitions = Callable[[Sequence[Partition]], None]


class Trouble(NamedTuple):
    """No broker can be reached, or each refuses us: why, and since when (monotonic seconds)."""

    error: BrokerError
    since_s: float


class ProducerClient(Protocol):
    """Queue records and report on each. Idempotent, acks=all: order per partition is kept."""

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        token: Any = None,
    ) -> None:
        """Queue one record; its report comes from ``poll``. Never blocks. Threads: any.

        Raises SendBufferFull when there is no room now, DeliveryRefused when the record can never
        be taken (too large); neither is reported on a second time.
        """

    def poll(self, timeout_s: float) -> None:
        """Serve delivery reports; wait at most ``timeout_s`` for a first one."""

    def pending(self) -> int:
        """Return how many records are not reported on yet. Cheap."""

    def delivered(self) -> int:
        """Return how many records are in the log, as of the last ``poll`` or ``flush``. Cheap."""

    def flush(self, timeout_s: float) -> int:
        """Wait until all is reported on, at most ``timeout_s``; return how many are left."""

    def purge(self) -> None:
        """Give up all that is queued: each record is reported on as failed by the next poll."""

    def trouble(self) -> Trouble | None:
        """Return what keeps the client from all of its brokers by now. Cheap."""

    def ended(self) -> bool:
        """Tell whether the client will never send again: make a new one. Cheap.

        True once a report has come that ended a gapless client; ``purge`` brings those left.
        """

    def abandon(self) -> None:
        """Forget the client without touching it: called in a child of fork, where it is dead."""

    def close(self) -> None:
        """Release the client; what was not flushed is lost. Idempotent."""


class PendingCommit(Protocol):
    """A commit that one thread makes, while another can stop waiting for it."""

    @property
    def timeout_s(self) -> float:
        """When, after its begin, ``result`` waits no longer."""

    def run(self) -> None:
        """Commit in the calling thread, for as long as the coordinator hangs. Raises nothing."""

    def start(self) -> None:
        """Have it made by a thread of the client's own. Returns at once."""

    def result(self) -> None:
        """Wait until it is made, for ``timeout_s`` since its begin; raise as ``commit``."""


class ConsumerClient(Protocol):
    """One member of one consumer group. Threads: one at a time, but for ``abandon``."""

    def subscribe(
        self,
        topics: Iterable[str],
        *,
        on_assigned: OnPartitions,
        on_revoked: OnPartitions,
        on_lost: OnPartitions,
    ) -> None:
        """Join the group for these topics, whether they exist yet or not.

        The callbacks run inside ``take`` (and ``close``), with the partitions that come or go.
        ``on_revoked`` runs before the partitions are given up, so commits in it still count;
        ``on_lost`` after they have gone to somebody else. A partition starts at the group's
        committed offset, without one at its start.
        """

    def take(self, limit: int, timeout_s: float) -> list[Record]:
        """Return what is there, at most ``limit`` records; wait ``timeout_s`` for a first one.

        Never waits to fill the list. Raises ConsumerFenced when the client has ended for good,
        BrokerUnavailable when it will never find a broker again: make a new one.
        """

    def committed(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int | None]:
        """Return the group's committed next offsets; None where it has none.

        Raises BrokerUnavailable or BrokerRefused.
        """

    def notes(self, partitions: Sequence[Partition], timeout_s: float) -> dict[Partition, str]:
        """Return what the group's last commits left beside their offsets; '' for nothing.

        Raises as ``committed``.
        """

    def commit(
        self,
        next_offsets: Mapping[Partition, int],
        notes: Mapping[Partition, str] | None = None,
    ) -> None:
        """Store the offsets to go on from, synchronously, and a note beside each (see ``notes``).

        Raises AssignmentLost when this member may not commit them any more, CommitUnanswered when
        the outcome is unknown, CommitFailed with ``retriable`` for everything else. Blocks at most
        the client's socket time-out.
        """

    def begin_commit(self, next_offsets: Mapping[Partition, int]) -> PendingCommit:
        """Return a commit that is to be run in some thread, or started, and then waited for.

        Until ``result`` has returned or raised no other call may be made. Raises as ``commit``.
        """

    def start_offsets(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Return the first offset of each partition. Raises as ``committed``."""

    def end_offsets(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Return the offset that the next record of each partition will get. Raises likewise."""

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Let ``take`` return no records of these partitions until ``resume``."""

    def resume(self, partitions: Sequence[Partition]) -> None:
        """End a pause."""

    def abandon(self) -> None:
        """Forget the client without touching it: called in a child of fork."""

    def close(self) -> None:
        """Leave the group and release the client. Idempotent; bounded by the client."""


class Settlement(enum.Enum):
    """What becomes of a record that a share group handed out."""

    ACCEPT = "accept"
    """It is done, and never comes again."""
    RELEASE = "release"
    """It comes again at once, to whichever member asks first."""
    REJECT = "reject"
    """It is given up, and never comes again."""


class Acquired(NamedTuple):
    """A record that is locked for this member, and how often it has been handed out by now."""

    record: Record
    delivery_count: int


class Unstored(NamedTuple):
    """Settlements that a broker has not stored, of one partition: the records come again."""

    records: Sequence[Record]
    error: ConsumeError


class ShareClient(Protocol):
    """One member of one share group. All calls from its one thread, but ``abandon``.

    Members share partitions and get records of one key side by side. What is taken is locked for
    ``lock_s``; nobody can make that longer. Then, or as soon as the member's connection is gone,
    the record comes to somebody. When it has been handed out ``delivery_limit`` times the cluster
    gives it up **without a word**, so settle it for good before.
    """

    @property
    def lock_s(self) -> float:
        """How long a record stays locked after it was taken; known after ``subscribe``."""

    @property
    def delivery_limit(self) -> int:
        """The delivery count after which a record is not handed out again; known likewise."""

    def subscribe(self, topics: Iterable[str]) -> None:
        """Join the group for these topics, whether they exist yet or not.

        A group that is new begins where the option ``group_start`` says; what is sent after
        ``has_begun`` was true comes, whatever happens to members or brokers. Blocks a few times
        ``connect_timeout`` at most. Raises BrokerUnavailable, or BrokerRefused when the cluster
        has no share groups or does not let us set the group's start.
        """

    def has_begun(self) -> bool:
        """Tell whether the group's start is settled: before, the end of its members undoes it."""

    def ready(self) -> bool:
        """Tell whether it is, and this member has its share. Cheap."""

    def take(self, timeout_s: float) -> list[Acquired]:
        """Return what one request brings; wait ``timeout_s`` for a first record.

        As long as something taken is not settled *and* committed, returns nothing, at once. A
        request may bring more than ``max_poll_records``: what was sent together comes together.
        Call it again and again, records or not: it serves the client. Raises ConsumerFenced when
        the client has ended for good (no share groups, group id in use), BrokerUnavailable when
        it will never get on: make a new one.
        """

    def settle(self, records: Iterable[Record], how: Settlement) -> None:
        """Note what becomes of records; ``commit`` sends it. The last word on each counts.

        What is not in hand any more, as its settlement was sent, is ignored.
        """

    def commit(self, timeout_s: float) -> list[Unstored]:
        """Send what is settled; return what was not stored. Blocks ``timeout_s`` at most.

        Nothing of it can be sent again. CommitUnanswered: it may be stored, or will be.
        AssignmentLost: the lock had run out, and somebody else may have had the record.
        CommitFailed: the broker lost its state or went. What was released is not among them.
        """

    def abandon(self) -> None:
        """Forget the client without touching it: called in a child of fork."""

    def close(self) -> None:
        """Send what is settled, leave, and let go of the rest, which comes again at once.

        That counts as a hand-out. Idempotent; bounded by the client.
        """


class ReaderClient(Protocol):
    """Read partitions for its owner alone: in no group, and nothing is committed.

    Where it reads on is its owner's to know. All calls from its one thread, but ``abandon``.
    """

    def partition_counts(self, topics: Sequence[str], timeout_s: float) -> dict[str, int]:
        """Return how many partitions these topics have; see ``AdminClient``. Over one connection.

        Raises BrokerUnavailable or BrokerRefused.
        """

    def start_offsets(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Return the first offset of each partition. Raises as ``partition_counts``."""

    def end_offsets(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Return the offset that the next record of each partition will get. Raises likewise."""

    def read_from(self, next_offsets: Mapping[Partition, int]) -> None:
        """Read these partitions, and no others, from these offsets on. Never blocks."""

    def take(self, limit: int, timeout_s: float) -> list[Record]:
        """Return what is there, at most ``limit`` records; wait ``timeout_s`` for a first one.

        Never waits to fill the list. Raises RecordsGone when the next record of a partition is not
        there any more: nothing comes of it until ``read_from``. Raises ConsumerFenced, or
        BrokerUnavailable, when the client will never get on: make a new one.
        """

    def abandon(self) -> None:
        """Forget the client without touching it: called in a child of fork."""

    def close(self) -> None:
        """Release the client. Idempotent; bounded by the client."""


class AdminClient(Protocol):
    """Ask for topics and make them. Threads: any."""

    def partition_counts(self, topics: Iterable[str], timeout_s: float) -> dict[str, int]:
        """Return how many partitions each of these topics has; without those that do not exist.

        Creates nothing. Raises BrokerUnavailable (which names the addresses and the cause) or
        BrokerRefused.
        """

    def create_topics(
        self,
        topics: Sequence[str],
        *,
        partitions: int,
        replication_factor: int,
        timeout_s: float,
        config: Mapping[str, str] | None = None,
    ) -> dict[str, BrokerError | None]:
        """Create topics; -1 leaves a number to the broker. Return what went wrong for each.

        A topic that exists already counts as created. ``config`` has topic options of Kafka.
        """

    def topic_config(self, topic: str, name: str, timeout_s: float) -> str | None:
        """Return a topic's option; None if it may not be known. Raises BrokerUnavailable."""

    def group_has_members(self, group: str, timeout_s: float) -> bool:
        """Tell whether a consumer group has live members.

        Raises BrokerUnavailable or BrokerRefused.
        """

    def group_is_at_rest(self, group: str, timeout_s: float) -> bool | None:
        """Tell whether no partition of a group is on its way between members; None if unknown.

        Raises as the above.
        """

    def abandon(self) -> None:
        """Forget the client without touching it: called in a child of fork."""

    def close(self) -> None:
        """Release the client. Idempotent."""


class Driver(Protocol):
    """One cluster, as a transport's URL and settings name it. Making one connects to nothing."""

    def __init__(self, url: TransportURL, settings: Settings) -> None:
        """Check that the URL has what this driver needs; raise InvalidTransportURL otherwise."""

    @property
    def address(self) -> str:
        """Where the cluster is, for messages; no secrets."""

    def new_producer(
        self,
        *,
        on_report: OnReport,
        on_problem: OnProblem,
        settings: Settings | None = None,
        gapless: bool = False,
        failures_only: bool = False,
    ) -> ProducerClient:
        """Return a new producer; reports and problems come through the callbacks.

        ``settings`` stand in for the driver's own in what concerns sending. A ``gapless`` one ends
        when the cluster refuses records that shared a request: nothing queued behind them is sent.
        With ``failures_only`` records that are delivered are not reported on, but counted (see
        ``delivered``), and what is kept for a report is less: instead of its token it has the
        record's value. Both make sending much cheaper.
        """

    def new_consumer(self, group: str, *, on_problem: OnProblem) -> ConsumerClient:
        """Return a new consumer of ``group``; it joins when it subscribes."""

    def new_share_consumer(self, group: str, *, on_problem: OnProblem) -> ShareClient:
        """Return a new member of the share group ``group``; it joins when it subscribes.

        Raises ConfigurationError when this driver, or the client beneath it, has no share groups.
        """

    def new_reader(self, *, on_problem: OnProblem) -> ReaderClient:
        """Return a new reader; it reads nothing yet."""

    def new_admin(self, *, on_problem: OnProblem) -> AdminClient:
        """Return a new admin client."""

    def close(self) -> None:
        """Release what the driver itself holds (an embedded cluster); its clients are closed."""


def no_share_groups(driver: str) -> ConfigurationError:
    """Return the error of a driver that has no share groups."""
    return ConfigurationError(
        f"{driver}:// has no share groups: commit_policy=share needs a real Kafka, kafka://, of "
        "version 4.2 or later; use another commit_policy here"
    )


def load_driver(url: TransportURL, settings: Settings) -> Driver:
    """Return the driver that the URL's scheme names.

    Raises DriverNotFound, which lists the drivers installed, or what the driver raises of the URL.
    """
    from stevedore import exception, extension
    from stevedore.driver import DriverManager

    name = url.transport or ""
    try:
        factory = DriverManager(NAMESPACE, name, on_load_failure_callback=_reraise).driver
    except exception.NoMatches as error:
        installed = sorted(extension.ExtensionManager(NAMESPACE).names())
        raise DriverNotFound(
            f"no driver named {name!r} for {url.redacted()}; installed are {', '.join(installed)}"
        ) from error
    return cast(Driver, factory(url, settings))


def _reraise(_manager: Any, _entry_point: Any, error: BaseException) -> None:
    raise error
