# SPDX-License-Identifier: Apache-2.0
"""The consumer over confluent_kafka: one member of one group, for one thread at a time.

It neither decides what to commit nor when; it tells which partitions come and go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from kafka_notify.core.message import Partition, Record
from kafka_notify.drivers.base import OnPartitions, PendingCommit
from kafka_notify.drivers.confluent_client import leak
from kafka_notify.drivers.confluent_commit import Commit, Committer, CommitTimedOut, Stored
from kafka_notify.drivers.confluent_errors import Problems, commit_error
from kafka_notify.drivers.confluent_health import Health
from kafka_notify.drivers.confluent_offsets import Offsets, topic_partitions
from kafka_notify.drivers.confluent_topic_ids import TopicIds
from kafka_notify.errors import (
    AssignmentLost,
    BrokerUnavailable,
    ClosedError,
    CommitUnanswered,
    ConsumerFenced,
    KafkaNotifyError,
)
from kafka_notify.native import time

LOG = logging.getLogger(__name__)

_RECONNECTED_S = 0.05  # below reconnect.backoff.ms: whoever answers sooner was asked once

# Eager rebalancing (classic, range) and KIP-848's incremental one differ in what assign() must be
# called with. confluent_kafka makes the right call after our callbacks, as they make none.


class KafkaConsumer:
    """``drivers.base.ConsumerClient`` over one librdkafka consumer."""

    def __init__(
        self,
        client: Consumer,
        *,
        health: Health,
        topic_ids: TopicIds,
        group: str,
        address: str,
        problems: Problems,
        commit_timeout_s: float,
        on_unsupported: Callable[[], None] | None,
    ) -> None:
        """``on_unsupported`` is given when classic may stand in for KIP-848."""
        self._maybe_client: Consumer | None = client
        self._committer = Committer(client, timeout_s=commit_timeout_s)
        self._offsets = Offsets(client, problems=problems, brings_records=lambda: self._subscribed)
        self._health = health
        self._topic_ids = topic_ids
        self._group = group
        self._address = address
        self._problems = problems
        self._on_unsupported = on_unsupported
        self._subscribed = False
        self._assigned: set[Partition] = set()
        self._ever_assigned = False
        self._left: set[Partition] = set()
        self._failure: BaseException | None = None
        self._calling_back = False
        self._put_off: list[Callable[[], None]] = []
        self._on_assigned: OnPartitions = _ignore
        self._on_lost: OnPartitions = _ignore

    @property
    def _client(self) -> Consumer:
        if self._maybe_client is None:
            raise self._closed()
        return self._maybe_client

    def _closed(self) -> ClosedError:
        return ClosedError(f"the consumer of group {self._group} at {self._address} is closed")

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

        def assigned(_client: Consumer, found: list[TopicPartition]) -> None:
            partitions = _partitions(found)
            self._ever_assigned = True
            self._problems.connected_or_failed.set()
            self._assigned.update(partitions)
            self._call(on_assigned, partitions)

        def revoked(_client: Consumer, found: list[TopicPartition]) -> None:
            partitions = _partitions(found)
            renewed = self._topic_ids.renewed(partitions)
            if renewed:
                self._call(self._lose_renewed, renewed)
            self._call(on_revoked, [one for one in partitions if one not in renewed])
            self._forget(partitions)

        def lost(_client: Consumer, found: list[TopicPartition]) -> None:
            partitions = _partitions(found)
            self._forget(partitions)
            self._call(on_lost, partitions)

        self._subscribed = True
        self._on_assigned, self._on_lost = on_assigned, on_lost
        self._client.subscribe(list(topics), on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def _forget(self, partitions: Iterable[Partition]) -> None:
        self._assigned.difference_update(partitions)
        self._left.update(partitions)

    def _call(self, callback: OnPartitions, partitions: Sequence[Partition]) -> None:
        """Call back from inside the client, whose C code cannot be trusted with an exception."""
        if self._maybe_client is None:
            return  # closed while a commit hung: the owner has been told that all is lost
        self._calling_back = True
        try:
            callback(partitions)
        except BaseException as error:  # noqa: BLE001 - kept, and raised by take or close
            self._failure = self._failure or error
        finally:
            self._calling_back = False

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    # --- records

    def take(self, limit: int, timeout_s: float) -> list[Record]:
        """Return what is there; see ``ConsumerClient.take``."""
        self._raise_failure()
        client = self._client
        if not self._committer.settle(timeout_s):
            return []
        while self._put_off:
            self._put_off.pop(0)()
        first = client.poll(timeout_s)
        records = [] if first is None else self._read_all([first])
        if first is not None and limit > 1:
            self._left.clear()
            more = self._read_all(client.consume(limit - 1, 0))
            if self._left:
                # Partitions went away between the two calls: their records belong to somebody
                # else now, or come again from the committed offset.
                records = [record for record in records if record.where not in self._left]
                more = [record for record in more if record.where in self._assigned]
            records += more
        records = self._without_renewed(records)
        if not records:
            self._raise_failure()
            self._raise_if_stuck()
        return records

    def _without_renewed(self, records: list[Record]) -> list[Record]:
        """Begin with topics that were made anew; return the records of the others."""
        renewed = self._topic_ids.renewed(self._assigned)
        self._topic_ids.forget()
        if not renewed:
            return records
        self._lose_renewed(renewed)
        try:
            for topic, number in renewed:
                self._client.seek(TopicPartition(topic, number, 0))
        except KafkaException as error:
            raise BrokerUnavailable(
                f"group {self._group} at {self._address}: topics that were made anew could not be "
                f"read from their start: {error.args[0].str()}"
            ) from error
        self._call(self._on_assigned, renewed)
        return [one for one in records if one.where not in renewed]

    def _lose_renewed(self, renewed: Sequence[Partition]) -> None:
        """End with partitions of deleted topics: what was taken of them is lost with them.

        A commit that was under way to one may have reached the new one of that name: the start is
        committed before anything of it is read.
        """
        LOG.warning(
            "Group %s at %s: topics were deleted and made anew, and are read from their start: %s",
            self._group,
            self._address,
            ", ".join(sorted({one.topic for one in renewed})),
        )
        self._on_lost(renewed)
        self.commit(dict.fromkeys(renewed, 0))

    def _raise_if_stuck(self) -> None:
        what = ""
        if self._health.knows_no_broker:
            what = "has lost sight of all brokers"
        elif self._health.never_fetches(self._assigned):
            what = "does not fetch what it is assigned"
        if what:
            raise BrokerUnavailable(
                f"group {self._group} at {self._address}: the client {what}; make the consumer "
                "anew"
            )

    def _read_all(self, messages: Iterable[Message]) -> list[Record]:
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(to_record(message))
            else:
                self._heed(error, message.topic())
        return records

    def _heed(self, error: KafkaError, topic: str | None) -> None:
        """Tell of an error that came in place of a record; raise when it is the end."""
        if not error.fatal() and error.code() not in (KafkaError._FATAL, KafkaError._FENCED):
            self._problems.heard_of(f"group {self._group}, topic {topic}", error)
            return
        # The client keeps the cause of a fatal error in its text alone. Before any assignment it
        # is the answer to the first heartbeat of KIP-848: a cluster without it, or one that
        # refuses for a reason that the classic protocol will meet, and tell, as well.
        unsupported = self._on_unsupported is not None and not self._ever_assigned
        if unsupported and self._on_unsupported is not None:
            self._on_unsupported()
        raise ConsumerFenced(
            f"group {self._group} at {self._address}: {error.str()}; make the consumer anew",
            code=error.name(),
            unsupported_protocol=unsupported,
        )

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Let ``take`` return no records of these partitions until ``resume``."""
        self._when_free(self._client.pause, partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        """End a pause."""
        self._when_free(self._client.resume, partitions)

    def _when_free(
        self, call: Callable[[list[TopicPartition]], None], partitions: Sequence[Partition]
    ) -> None:
        """Call now; while a commit hangs, before the next records are taken."""

        def on_owned() -> None:
            call(topic_partitions(self._assigned.intersection(partitions)))

        if self._committer.settle(0):
            on_owned()
        else:
            self._put_off.append(on_owned)

    # --- offsets

    def commit(
        self,
        next_offsets: Mapping[Partition, int],
        notes: Mapping[Partition, str] | None = None,
    ) -> None:
        """Store the offsets to go on from; see ``ConsumerClient.commit``."""
        if not next_offsets:
            return
        offsets = self._committable(next_offsets, notes or {})
        began_s = time.monotonic()
        try:
            if self._calling_back:
                # This thread is inside the client, and keeps every other thread out of it.
                stored = self._client.commit(offsets=offsets, asynchronous=False)
            else:
                commit = self._committer.begin(offsets)
                commit.start()
                stored = commit.result()
        except (KafkaException, CommitTimedOut) as error:
            raise self.failed_commit(error, began_s) from error
        self.check_stored(stored)

    def begin_commit(self, next_offsets: Mapping[Partition, int]) -> PendingCommit:
        """Return a commit that somebody runs; see ``ConsumerClient.begin_commit``."""
        offsets = self._committable(next_offsets, {})
        began_s = time.monotonic()
        try:
            return _PendingCommit(self, self._committer.begin(offsets), began_s)
        except CommitTimedOut as error:
            raise self.failed_commit(error, began_s) from error

    def _committable(
        self, next_offsets: Mapping[Partition, int], notes: Mapping[Partition, str]
    ) -> list[TopicPartition]:
        if self._maybe_client is None:
            raise self._closed()
        if self._subscribed:
            # KIP-848 and the classic protocol check the member, not what it owns.
            foreign = sorted(str(p) for p in next_offsets if p not in self._assigned)
            if foreign:
                raise AssignmentLost(
                    f"group {self._group} at {self._address}: this member does not own "
                    f"{', '.join(foreign)} any more"
                )
        return [
            TopicPartition(where.topic, where.number, offset, notes.get(where, ""))
            for where, offset in next_offsets.items()
        ]

    def failed_commit(
        self, error: KafkaException | CommitTimedOut, began_s: float
    ) -> KafkaNotifyError:
        """Return what a commit raises that the client, or nobody, has answered so."""
        if isinstance(error, CommitTimedOut):
            return CommitUnanswered(
                f"group {self._group} at {self._address}: the coordinator has not answered a "
                "commit in time; it may have stored the offsets, or do so later",
                code="_TIMED_OUT",
                retriable=True,
            )
        failure = commit_error(error.args[0], group=self._group, address=self._address)
        if isinstance(failure, AssignmentLost):
            # The client repeats a commit whose answer a lost connection has cut off, and the
            # refusal is the last answer's. An answer to the first one does not take so long.
            failure.unknown = time.monotonic() - began_s >= _RECONNECTED_S
        return failure

    def check_stored(self, stored: Stored) -> None:
        """Raise what the coordinator has said of a partition."""
        for partition in stored:
            if partition.error is not None:
                raise commit_error(partition.error, group=self._group, address=self._address)

    def committed(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int | None]:
        """Return the group's committed next offsets; see ``ConsumerClient.committed``."""
        found = self._committed(partitions, timeout_s)
        return {where: one.offset if one.offset >= 0 else None for where, one in found.items()}

    def notes(self, partitions: Sequence[Partition], timeout_s: float) -> dict[Partition, str]:
        """Return what was left beside the committed offsets (Kafka's commit metadata)."""
        found = self._committed(partitions, timeout_s)
        return {where: one.metadata or "" for where, one in found.items()}

    def _committed(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, TopicPartition]:
        offsets = self._questions(partitions, timeout_s)
        return offsets.committed(partitions, timeout_s, group=self._group)

    def start_offsets(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Return the first offset of each partition."""
        return self._questions(partitions, timeout_s).starts(partitions, timeout_s)

    def end_offsets(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Return the offset that the next record of each partition will get."""
        return self._questions(partitions, timeout_s).ends(partitions, timeout_s)

    def _questions(self, partitions: Sequence[Partition], timeout_s: float) -> Offsets:
        """Return what asks, once the client is free."""
        if self._maybe_client is None:
            raise self._closed()
        if partitions and not self._committer.settle(timeout_s):
            raise BrokerUnavailable(
                f"asking for offsets of group {self._group} at {self._address}: it has not "
                "answered a commit yet"
            )
        return self._offsets

    # --- the end

    def abandon(self) -> None:
        """Forget the client in a child of fork; see ``leak``."""
        client, self._maybe_client = self._maybe_client, None
        leak(client)

    def close(self) -> None:
        """Leave the group and release the client; raise what a callback raised meanwhile.

        While a commit hangs the client cannot be closed: what is owned is told to be lost then,
        and the client leaves when its broker has answered. One that knows no broker any more does
        not: the group lets go of its partitions when its session has ended.
        """
        client = self._maybe_client
        if client is not None and not self._committer.settle(0):
            self._maybe_client = None
            self._committer.stop(client.close)
            lost = sorted(self._assigned)
            self._forget(lost)
            self._on_lost(lost)
        elif client is not None:
            try:
                client.close()
            finally:
                self._maybe_client = None
                self._committer.stop()
        self._raise_failure()


def to_record(message: Message) -> Record:
    """Return the client's message, which is no error, as our value."""
    kind, timestamp_ms = message.timestamp()
    headers: Any = message.headers()  # a list, or None; its stub knows of dicts, too
    return Record(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.key(),
        message.value(),
        tuple(headers) if headers else (),
        -1 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp_ms,
    )


def _ignore(partitions: Sequence[Partition]) -> None:
    """Stand in for a callback until there is one."""


def _partitions(found: Iterable[TopicPartition]) -> list[Partition]:
    return [Partition(one.topic, one.partition) for one in found]


class _PendingCommit:
    """A commit of a consumer that somebody runs, with our errors."""

    def __init__(self, consumer: KafkaConsumer, commit: Commit, began_s: float) -> None:
        self._consumer = consumer
        self._commit = commit
        self._began_s = began_s
        self.timeout_s = commit.timeout_s
        self.run = commit.run
        self.start = commit.start

    def result(self) -> None:
        """Wait for it; see ``PendingCommit``."""
        try:
            stored = self._commit.result()
        except (KafkaException, CommitTimedOut) as error:
            raise self._consumer.failed_commit(error, self._began_s) from error
        self._consumer.check_stored(stored)
