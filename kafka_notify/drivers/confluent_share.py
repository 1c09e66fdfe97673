# SPDX-License-Identifier: Apache-2.0
"""A member of a share group (KIP-932) over confluent_kafka, in the hands of one thread.

librdkafka calls its share consumer a preview: it polls nothing more until all of the last poll is
acknowledged, cannot renew locks, and tells of a fatal error once. Needs confluent-kafka 2.15.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    AcknowledgeType,
    IllegalStateException,
    KafkaError,
    KafkaException,
    Message,
    ShareConsumer,
)

from kafka_notify.core.message import Partition, Record
from kafka_notify.drivers.base import Acquired, OnProblem, Settlement, Unstored
from kafka_notify.drivers.confluent_client import leak, make
from kafka_notify.drivers.confluent_config import Config
from kafka_notify.drivers.confluent_errors import REFUSALS, Problems
from kafka_notify.drivers.confluent_share_close import Ending
from kafka_notify.drivers.confluent_share_start import NO_SHARE_GROUPS, ShareStart
from kafka_notify.drivers.confluent_share_watch import INTERVAL_S, ShareWatch
from kafka_notify.errors import (
    AssignmentLost,
    BrokerError,
    BrokerUnavailable,
    ClosedError,
    CommitFailed,
    CommitUnanswered,
    ConsumeError,
    ConsumerFenced,
)
from kafka_notify.native import time

LOG = logging.getLogger(__name__)

_TYPES = {
    Settlement.ACCEPT: AcknowledgeType.ACCEPT,
    Settlement.RELEASE: AcknowledgeType.RELEASE,
    Settlement.REJECT: AcknowledgeType.REJECT,
}
_ENDINGS = {
    KafkaError.UNSUPPORTED_VERSION: NO_SHARE_GROUPS,
    KafkaError._UNSUPPORTED_FEATURE: NO_SHARE_GROUPS,
    KafkaError.GROUP_ID_NOT_FOUND: "this id was used by a consumer group, and can be no share "
    "group's: give the listener another pool, or delete that group",
}
_UNANSWERED = (
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._IN_PROGRESS,
)
_FINISH_AGAIN_S = 1.0
_OLD_TIMEOUT_S = 5.0
_JOIN_S = 5.0  # a heartbeat; see confluent_share_close

Key = tuple[str, int, int]


def new_client(config: Config, watch: ShareWatch, *, problems: Problems) -> ShareConsumer:
    """Return a client whose statistics go to ``watch``."""

    def watched(complete: dict[str, Any]) -> ShareConsumer:
        return ShareConsumer({**complete, "stats_cb": watch.heard})

    interval_ms = round(INTERVAL_S * 1000)
    return make(watched, {**config, "statistics.interval.ms": interval_ms}, problems=problems)


class KafkaShareConsumer:
    """``drivers.base.ShareClient`` over one librdkafka share consumer."""

    def __init__(
        self,
        client: ShareConsumer,
        *,
        watch: ShareWatch,
        start: ShareStart,
        group: str,
        address: str,
        problems: Problems,
        on_problem: OnProblem,
        close_timeout_s: float,
    ) -> None:
        """``watch`` watches the client."""
        self._close_timeout_s = close_timeout_s
        self._watch = watch
        self._maybe_client: ShareConsumer | None = client
        self._start = start
        self._what = f"group {group} at {address}"
        self._problems = problems
        self._on_problem = on_problem
        self._held: dict[Key, Record] = {}
        self._settled: dict[Key, Settlement] = {}
        self._over: ConsumerFenced | None = None
        self._finish_at = 0.0
        self._is_subscribed = False
        self._locked_until_s = 0.0
        self._unanswered_s: float | None = None  # since when a request may have been under way
        self._ending: Ending | None = None

    @property
    def _client(self) -> ShareConsumer:
        if self._maybe_client is None:
            raise ClosedError(f"the share consumer of {self._what} is closed")
        return self._maybe_client

    @property
    def lock_s(self) -> float:
        """How long a record stays locked after it was taken."""
        return self._start.lock_s

    @property
    def delivery_limit(self) -> int:
        """The delivery count after which a record is not handed out again."""
        return self._start.delivery_limit

    # --- the group

    def subscribe(self, topics: Iterable[str]) -> None:
        """Join the group; see ``ShareClient.subscribe``."""
        wanted = list(dict.fromkeys(topics))
        self._start.begin(wanted)
        self._client.subscribe(wanted)
        self._is_subscribed = True

    def has_begun(self) -> bool:
        """Tell whether the group's start is settled."""
        return not self._start.is_pending

    def ready(self) -> bool:
        """Tell whether the group's start is settled and this member has its share."""
        return self.has_begun() and self._watch.is_assigned

    def _go_on_starting(self) -> None:
        start = self._start
        if not start.is_pending or time.monotonic() < self._finish_at:
            return
        if self._watch.has_fetched(start.partitions) or start.is_late():
            try:
                start.finish()
            except BrokerError as error:
                self._on_problem(error)
                self._finish_at = time.monotonic() + _FINISH_AGAIN_S

    # --- records

    def take(self, timeout_s: float) -> list[Acquired]:
        """Return what one request brings; see ``ShareClient.take``."""
        deadline = time.monotonic() + timeout_s
        while True:
            if self._over is not None:
                raise self._over
            left_s = max(0.0, deadline - time.monotonic())
            taken = self._poll(left_s if self.ready() else min(left_s, INTERVAL_S))
            self._go_on_starting()
            if taken:
                return taken
            self._raise_if_stuck()
            if self._held or not left_s:
                return []

    def _poll(self, timeout_s: float) -> list[Acquired]:
        client = self._client
        self._watch.is_polled = not self._held
        asked_s = time.monotonic()
        try:
            if self._held:
                client.commit_async()  # sends nothing: it serves the client's callbacks
                return []
            messages = client.poll(timeout_s)
        except KafkaException as error:
            self._heed(error.args[0], None)
            return []
        taken = [one for one in map(self._read, messages) if one is not None]
        self._held = {_key(one.record): one.record for one in taken}
        # What comes may be the answer to the request of a poll that brought nothing in its time,
        # and lie here since: a process that was suspended finds it when its lock has run out.
        first_asked_s = asked_s if self._unanswered_s is None else self._unanswered_s
        self._unanswered_s = None if messages else asked_s
        self._locked_until_s = first_asked_s + self.lock_s
        return self._without_old(taken)

    def _read(self, message: Message) -> Acquired | None:
        error = message.error()
        if error is not None:
            # Of a damaged record, say; the client has released or rejected it already.
            self._heed(error, message.topic())
            return None
        kind, timestamp_ms = message.timestamp()
        record = Record(
            message.topic() or "",
            message.partition() or 0,
            message.offset() or 0,
            message.key(),
            message.value(),
            _headers(message.headers()),
            -1 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp_ms,
        )
        return Acquired(record, message.delivery_count() or 1)

    def _without_old(self, taken: list[Acquired]) -> list[Acquired]:
        old = [one.record for one in taken if self._start.is_before(one.record)]
        if not old:
            return taken
        self.settle(old, Settlement.ACCEPT)
        self.commit(_OLD_TIMEOUT_S)
        return [one for one in taken if _key(one.record) in self._held]

    def _heed(self, error: KafkaError, topic: str | None) -> None:
        """Tell of an error that came in place of records; raise when it is the end."""
        if not error.fatal():
            self._problems.heard_of(f"share {self._what}, topic {topic or 'any'}", error)
            return
        remedy = _ENDINGS.get(error.code()) or REFUSALS.get(error.code(), "make it anew")
        self._over = ConsumerFenced(
            f"share {self._what}: {error.str()}; {remedy}", code=error.name()
        )
        raise self._over

    def _raise_if_stuck(self) -> None:
        what = ""
        if self._watch.knows_no_broker:
            what = "has lost sight of all brokers"
        elif self._watch.has_stopped:
            what = "does not fetch what it is assigned"
        if what:
            raise BrokerUnavailable(
                f"share {self._what}: the client {what}; make the consumer anew"
            )

    # --- settling

    def settle(self, records: Iterable[Record], how: Settlement) -> None:
        """Note what becomes of records; see ``ShareClient.settle``."""
        for record in records:
            key = _key(record)
            if key in self._held:
                self._settled[key] = how

    def commit(self, timeout_s: float) -> list[Unstored]:
        """Send what is settled; see ``ShareClient.commit``."""
        client = self._client
        finished, gone = self._acknowledge(client)
        unstored = [
            Unstored(
                records, AssignmentLost(f"share {self._what}: the client let go of {partition}")
            )
            for partition, records in gone.items()
        ]
        if finished:
            unstored += self._send(client, finished, timeout_s)
        return [one for one in unstored if one.records]

    def _acknowledge(
        self, client: ShareConsumer
    ) -> tuple[dict[Partition, list[Record]], dict[Partition, list[Record]]]:
        """Tell the client what is settled; return that, and what it does not know any more.

        Without what is released, but for its partitions: that comes again in any case.
        """
        known: dict[Partition, list[Record]] = {}
        gone: dict[Partition, list[Record]] = {}
        settled, self._settled = self._settled, {}
        for key, how in settled.items():
            record = self._held.pop(key)
            try:
                client.acknowledge_offset(*key, _TYPES[how])
                found = known.setdefault(record.where, [])
            except IllegalStateException:
                found = gone.setdefault(record.where, [])
            if how is not Settlement.RELEASE:
                found.append(record)
        return known, gone

    def _send(
        self, client: ShareConsumer, finished: dict[Partition, list[Record]], timeout_s: float
    ) -> list[Unstored]:
        try:
            outcomes = client.commit_sync(float(timeout_s))
        except KafkaException as error:
            failure = self._failure(error.args[0])
            return [Unstored(records, failure) for records in finished.values()]
        if time.monotonic() > self._locked_until_s:
            # Then another member may have had them, and brokers take what comes too late without
            # a word if all before it is settled, too.
            late = self._too_late("settled late")
            return [Unstored(records, late) for records in finished.values()]
        unstored = []
        for where, problem in outcomes.items():
            if problem is not None:
                found: Sequence[Record] = finished.get(Partition(where.topic, where.partition), ())
                unstored.append(Unstored(found, self._failure(problem.args[0])))
        return unstored

    def _too_late(self, what: str) -> AssignmentLost:
        return AssignmentLost(
            f"share {self._what}: {what}; the lock of {self.lock_s:g} s had run out, or the "
            "broker was another"
        )

    def _failure(self, error: KafkaError) -> ConsumeError:
        code = error.code()
        text = f"share {self._what}: {error.str()}"
        if code == KafkaError.INVALID_RECORD_STATE:
            return self._too_late(error.str())
        if code in _UNANSWERED:
            return CommitUnanswered(
                f"{text}; it may be stored all the same, or later", code=error.name()
            )
        return CommitFailed(text, code=error.name())

    # --- the end

    def abandon(self) -> None:
        """Forget the client in a child of fork; see ``leak``."""
        client, self._maybe_client = self._maybe_client, None
        leak(client)
        if self._ending is not None:
            self._ending.abandon()

    def close(self) -> None:
        """Send what is settled, and leave; see ``ShareClient.close``."""
        if self._maybe_client is None:
            return
        self._await_partitions()
        self._acknowledge(self._maybe_client)
        self._held.clear()
        ending = Ending(self._maybe_client, problems=self._problems, what=self._what)
        self._ending, self._maybe_client = ending, None
        ending.begin()
        if not ending.wait(self._close_timeout_s):
            LOG.warning(
                "share %s: the client did not end within %g s; if it has not left, what it held "
                "comes again after %g s",
                self._what,
                self._close_timeout_s,
                self.lock_s,
            )

    def _await_partitions(self) -> None:
        deadline = time.monotonic() + _JOIN_S
        while self._is_subscribed and self._watch.is_joining and not self._held:
            if self._over is not None or time.monotonic() >= deadline:
                return
            with suppress(ConsumerFenced):
                self._poll(INTERVAL_S)


def _headers(found: Any) -> tuple[tuple[str, bytes | None], ...]:
    return tuple(found) if found else ()


def _key(record: Record) -> Key:
    return record.topic, record.partition, record.offset
