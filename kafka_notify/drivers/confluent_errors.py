# SPDX-License-Identifier: Apache-2.0
"""The one table that turns the client's error codes into our errors.

Codes decide, not texts, but for one that is wrong (see ``_code_of``). ``KafkaError.retriable()``
is not asked: it is False for time-outs that pass by themselves, so what may be tried again is
listed here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import KafkaError

from kafka_notify.drivers.base import OnProblem, Trouble
from kafka_notify.errors import (
    AssignmentLost,
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    CommitFailed,
    ConsumeError,
    DeliveryError,
    DeliveryRefused,
    DeliveryTimeout,
)
from kafka_notify.native import threading

REPEAT_S = 30.0

_CREDENTIALS = (
    "check user and password in the transport URL, and the options security_protocol and "
    "sasl_mechanism"
)
_TOPIC_ACL = "the user lacks an ACL on the topic: ask the operator for it"
_TOPIC_MISSING = (
    "create the topic, start a listener (it creates its topics), or let the brokers create "
    "topics by themselves (auto.create.topics.enable)"
)
_TOO_LARGE = (
    "raise the option max_record_bytes together with the topic's max.message.bytes, or send less"
)

REFUSALS: dict[int, str] = {
    KafkaError._AUTHENTICATION: _CREDENTIALS,
    KafkaError.SASL_AUTHENTICATION_FAILED: _CREDENTIALS,
    KafkaError.ILLEGAL_SASL_STATE: _CREDENTIALS,
    KafkaError.UNSUPPORTED_SASL_MECHANISM: "change the option sasl_mechanism to one that the "
    "brokers offer",
    KafkaError._SSL: "check that the port speaks TLS, and the options ssl_cafile and ssl_client_*",
    KafkaError.SECURITY_DISABLED: "the brokers run without an authorizer",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: _TOPIC_ACL,
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the user lacks READ on the consumer group: ask the "
    "operator for it",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the user lacks an ACL on the cluster, such as "
    "CREATE or IDEMPOTENT_WRITE: ask the operator for it",
    KafkaError.UNKNOWN_TOPIC_OR_PART: _TOPIC_MISSING,
    KafkaError._UNKNOWN_TOPIC: _TOPIC_MISSING,
    KafkaError._UNKNOWN_PARTITION: _TOPIC_MISSING,
    KafkaError.TOPIC_EXCEPTION: "Kafka takes no such topic name",
    KafkaError.MSG_SIZE_TOO_LARGE: _TOO_LARGE,
    KafkaError.INVALID_MSG_SIZE: _TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE: _TOO_LARGE,
    KafkaError.INVALID_RECORD: "the topic's settings forbid it (a compacted topic needs keys)",
    KafkaError.INVALID_PARTITIONS: "change the option topic_partitions",
    KafkaError.INVALID_REPLICATION_FACTOR: "change the option topic_replication_factor: there are "
    "not that many brokers",
    KafkaError.INVALID_CONFIG: "the brokers' settings forbid it",
    KafkaError.POLICY_VIOLATION: "a policy of the cluster forbids it",
    KafkaError.UNSUPPORTED_VERSION: "the brokers are too old for it",
    KafkaError._UNSUPPORTED_FEATURE: "the brokers are too old for it",
    KafkaError.INVALID_GROUP_ID: "Kafka takes no such group name",
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "the group has members with another assignor than "
    "range: use the same everywhere, or another group",
    KafkaError.UNSUPPORTED_ASSIGNOR: "the group coordinator lacks the assignor asked for",
    KafkaError.GROUP_MAX_SIZE_REACHED: "the group is full (group.max.size of the brokers)",
}
"""Codes by which a cluster says no for good, each with what to do about it."""

_TIMED_OUT = frozenset(
    (
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError.REQUEST_TIMED_OUT,
    )
)
_GIVEN_UP = frozenset((KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._DESTROY))

PASSING = _TIMED_OUT | frozenset(
    (
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._WAIT_COORD,
        KafkaError._WAIT_CACHE,
        KafkaError._RETRY,
        KafkaError._IN_PROGRESS,
        KafkaError._PREV_IN_PROGRESS,
        KafkaError._QUEUE_FULL,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_CONTROLLER,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
    )
)
"""Codes of troubles that pass by themselves: ask again later."""

_UNREACHABLE = {
    KafkaError._ALL_BROKERS_DOWN: "if they are up, check the port and the option "
    "security_protocol: a broker that wants SASL or TLS hangs up without a word",
    KafkaError._RESOLVE: "check the host name in the transport URL",
}

SETTLING = frozenset(
    (
        KafkaError._WAIT_COORD,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    )
)
"""What brokers answer for a moment about a group or topic that has just come up, or moved."""

_LOST = frozenset(
    (
        KafkaError._ASSIGNMENT_LOST,
        KafkaError._FENCED,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
    )
)


def _code_of(error: KafkaError) -> int:
    """Return the error's code, but ``_SSL`` for every handshake that OpenSSL gave up.

    librdkafka says ``_TRANSPORT`` where the broker's answer was there before its first step
    returned (rd_kafka_transport_ssl_connect), and ``_SSL`` to the same answer a moment later.
    """
    code, text = error.code(), error.str()
    if code == KafkaError._TRANSPORT and "SSL routines:" in text and "SSL_HANDSHAKE" in text:
        return int(KafkaError._SSL)
    return int(code)


def broker_error(error: KafkaError, *, doing: str) -> BrokerError:
    """Return what a failed request means: BrokerRefused or BrokerUnavailable.

    ``doing`` says what failed, and at which address.
    """
    code = _code_of(error)
    name = KafkaError(code).name()
    text = f"{doing}: {error.str()}"
    remedy = REFUSALS.get(code)
    if remedy is not None:
        return BrokerRefused(f"{text}; {remedy}", code=name)
    if code >= KafkaError.UNKNOWN and code not in PASSING:  # the local ones are below
        return BrokerRefused(text, code=name)
    if code in _UNREACHABLE:
        text = f"{text}; {_UNREACHABLE[code]}"
    return BrokerUnavailable(text, code=name, retriable=code in PASSING)


def delivery_error(
    error: KafkaError, *, topic: str, address: str, cause: BrokerError | None
) -> DeliveryError:
    """Return what a failed record means; ``cause`` is what the client complained of last."""
    code = error.code()
    why = f"; last problem: {cause}" if cause else ""
    if code in _TIMED_OUT:
        return DeliveryTimeout(
            f"topic {topic}: no broker of {address} confirmed the record in time{why}",
            topic=topic,
            retriable=True,
        )
    if code in _GIVEN_UP:
        return DeliveryTimeout(
            f"topic {topic}: given up before a broker of {address} confirmed the record{why}",
            topic=topic,
        )
    remedy = REFUSALS.get(code)
    text = f"topic {topic} at {address}: {error.str()}"
    if remedy is not None:
        return DeliveryRefused(f"{text}; {remedy}", topic=topic)
    return DeliveryError(f"{text}{why}", topic=topic, retriable=code in PASSING)


def commit_error(error: KafkaError, *, group: str, address: str) -> ConsumeError:
    """Return what a failed commit means: AssignmentLost, or CommitFailed."""
    code = error.code()
    text = f"group {group} at {address}: {error.str()}"
    if code in _LOST:
        return AssignmentLost(f"{text}; only the group's members may commit, and this is none now")
    remedy = REFUSALS.get(code)
    if remedy is not None:
        text = f"{text}; {remedy}"
    return CommitFailed(text, code=error.name(), retriable=code in PASSING)


class Problems:
    """Hears what one client says of its connections, tells it on, and keeps the last of it.

    A client that reconnects all the time says the same all the time: each kind of problem is told
    on once in ``REPEAT_S``, or again after something went well. Threads: any.
    """

    def __init__(
        self,
        *,
        address: str,
        on_problem: OnProblem,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._on_problem = on_problem
        self._clock = clock
        self._told: dict[str, float] = {}
        self._last: BrokerError | None = None
        self._all_down_since_s: float | None = None
        self.connected_or_failed = threading.Event()
        """Set once the client has told something, good or bad."""

    @property
    def last(self) -> BrokerError | None:
        """The last problem that names a cause, None since all went well."""
        return self._last

    def heard(self, error: KafkaError) -> None:
        """Take the client's error callback."""
        problem = broker_error(error, doing=f"connecting to {self._address}")
        # "All brokers are down" follows the error that says why, and must not hide it.
        all_down = error.code() == KafkaError._ALL_BROKERS_DOWN
        if self._last is None or not all_down:
            self._last = problem
        if all_down and self._all_down_since_s is None:
            self._all_down_since_s = self._clock()
        self._tell(error.name(), problem)
        self.connected_or_failed.set()

    def heard_of(self, what: str, error: KafkaError) -> None:
        """Take an error that came in place of a record; ``what`` names group and topic."""
        self._tell(error.name() + what, broker_error(error, doing=f"{what} at {self._address}"))

    def _tell(self, kind: str, problem: BrokerError) -> None:
        now = self._clock()
        if now - self._told.get(kind, -REPEAT_S) >= REPEAT_S:
            self._told[kind] = now
            self._on_problem(problem)

    def forget(self) -> None:
        """Note that a request went well: what was heard before is over."""
        self.connected_or_failed.set()
        if self._last is not None:
            self._last = self._all_down_since_s = None
            self._told.clear()

    def trouble(self) -> Trouble | None:
        """Return what keeps the client from all brokers, None while one may be up."""
        error, since_s = self._last, self._all_down_since_s
        return None if error is None or since_s is None else Trouble(error, since_s)

    def explain(self, error: KafkaError, *, doing: str) -> BrokerError:
        """Return the error of a failed request, with the cause that the client told earlier."""
        cause = self._last
        if cause is None or error.code() not in PASSING:
            return broker_error(error, doing=f"{doing} at {self._address}")
        return type(cause)(f"{doing}: {cause}", code=cause.code, retriable=cause.retriable)
