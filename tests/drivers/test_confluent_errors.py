# SPDX-License-Identifier: Apache-2.0
"""One table decides what the client's error codes mean."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from kafka_notify.drivers.confluent_errors import (
    REPEAT_S,
    Problems,
    broker_error,
    commit_error,
    delivery_error,
)
from kafka_notify.errors import (
    AssignmentLost,
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    CommitFailed,
    DeliveryError,
    DeliveryRefused,
    DeliveryTimeout,
)

ADDRESS = "h1:9092,h2:9092"


def delivered(code: int, cause: BrokerError | None = None) -> DeliveryError:
    return delivery_error(KafkaError(code), topic="t.info", address=ADDRESS, cause=cause)


@pytest.mark.parametrize(
    ("code", "expected", "retriable"),
    [
        (KafkaError._MSG_TIMED_OUT, DeliveryTimeout, True),
        (KafkaError.REQUEST_TIMED_OUT, DeliveryTimeout, True),
        (KafkaError._PURGE_QUEUE, DeliveryTimeout, False),
        (KafkaError._PURGE_INFLIGHT, DeliveryTimeout, False),
        (KafkaError.MSG_SIZE_TOO_LARGE, DeliveryRefused, False),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, DeliveryRefused, False),
        (KafkaError._UNKNOWN_TOPIC, DeliveryRefused, False),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, DeliveryRefused, False),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, DeliveryRefused, False),
        (KafkaError._AUTHENTICATION, DeliveryRefused, False),
        (KafkaError.NOT_ENOUGH_REPLICAS, DeliveryError, True),
        (KafkaError._FATAL, DeliveryError, False),
    ],
)
def test_failed_deliveries(code: int, expected: type[DeliveryError], retriable: bool) -> None:
    """Time-outs and outages may be tried again, refusals may not; topic and address are named."""
    error = delivered(code)
    assert type(error) is expected
    assert error.retriable is retriable
    assert error.topic == "t.info"
    assert "t.info" in str(error)
    assert ADDRESS in str(error)


def test_refused_deliveries_name_the_remedy() -> None:
    """What to change is part of the message."""
    assert "max_record_bytes" in str(delivered(KafkaError.MSG_SIZE_TOO_LARGE))
    assert "max.message.bytes" in str(delivered(KafkaError.MSG_SIZE_TOO_LARGE))
    assert "auto.create.topics.enable" in str(delivered(KafkaError.UNKNOWN_TOPIC_OR_PART))
    assert "ACL" in str(delivered(KafkaError.TOPIC_AUTHORIZATION_FAILED))


def test_timed_out_deliveries_name_the_cause() -> None:
    """What the client complained of before is in the error of the record."""
    cause = BrokerUnavailable("h1: connection refused")
    assert "connection refused" in str(delivered(KafkaError._MSG_TIMED_OUT, cause))


@pytest.mark.parametrize(
    ("code", "expected", "retriable"),
    [
        (KafkaError._TRANSPORT, BrokerUnavailable, True),
        (KafkaError._ALL_BROKERS_DOWN, BrokerUnavailable, True),
        (KafkaError._RESOLVE, BrokerUnavailable, True),
        (KafkaError._TIMED_OUT, BrokerUnavailable, True),
        (KafkaError.COORDINATOR_NOT_AVAILABLE, BrokerUnavailable, True),
        (KafkaError._AUTHENTICATION, BrokerRefused, False),
        (KafkaError.SASL_AUTHENTICATION_FAILED, BrokerRefused, False),
        (KafkaError._SSL, BrokerRefused, False),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, BrokerRefused, False),
        (KafkaError.INVALID_REPLICATION_FACTOR, BrokerRefused, False),
        (KafkaError.UNKNOWN, BrokerRefused, False),
        (KafkaError._INVALID_ARG, BrokerUnavailable, False),
    ],
)
def test_failed_requests(code: int, expected: type[BrokerError], retriable: bool) -> None:
    """A broker that answered no has refused; without an answer it is unavailable."""
    error = broker_error(KafkaError(code), doing=f"asking {ADDRESS}")
    assert type(error) is expected
    assert error.retriable is retriable
    assert error.code == KafkaError(code).name()
    assert ADDRESS in str(error)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "sasl_ssl://h1/bootstrap: error:0A000086:SSL routines::certificate verify failed "
            "(after 4ms in state SSL_HANDSHAKE)",
            BrokerRefused,
        ),
        ("Disconnected: connection closed by peer (in state SSL_HANDSHAKE)", BrokerUnavailable),
        ("Receive failed: error:0A0003FC:SSL routines::alert (in state UP)", BrokerUnavailable),
    ],
)
def test_a_handshake_that_failed_in_its_first_step(text: str, expected: type[BrokerError]) -> None:
    """librdkafka's code for it is that of a broken connection; it will not pass by itself."""
    error = broker_error(KafkaError(KafkaError._TRANSPORT, text), doing=f"asking {ADDRESS}")
    assert type(error) is expected
    assert error.code == ("_SSL" if expected is BrokerRefused else "_TRANSPORT")
    assert ("ssl_cafile" in str(error)) == (expected is BrokerRefused)


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError._ASSIGNMENT_LOST,
    ],
)
def test_lost_assignments(code: int) -> None:
    """A member that the group no longer knows has lost its partitions."""
    assert isinstance(commit_error(KafkaError(code), group="g", address=ADDRESS), AssignmentLost)


@pytest.mark.parametrize(
    ("code", "retriable"),
    [
        (KafkaError.REBALANCE_IN_PROGRESS, True),
        (KafkaError.STALE_MEMBER_EPOCH, True),
        (KafkaError.NOT_COORDINATOR, True),
        (KafkaError._WAIT_COORD, True),
        (KafkaError._TRANSPORT, True),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, False),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, False),
        (KafkaError.OFFSET_METADATA_TOO_LARGE, False),
        (KafkaError._FATAL, False),
    ],
)
def test_failed_commits(code: int, retriable: bool) -> None:
    """Other failures tell whether the commit may be tried again."""
    error = commit_error(KafkaError(code), group="g", address=ADDRESS)
    assert isinstance(error, CommitFailed)
    assert error.retriable is retriable
    assert "group g" in str(error)
    assert ADDRESS in str(error)


class TestProblems:
    """What a client says of its connections."""

    def setup_method(self) -> None:
        self.now = 0.0
        self.told: list[BrokerError] = []
        self.problems = Problems(
            address=ADDRESS, on_problem=self.told.append, clock=lambda: self.now
        )

    def test_each_kind_is_told_once_in_a_while(self) -> None:
        """A client that fails to connect all the time is heard once in REPEAT_S."""
        for _ in range(100):
            self.problems.heard(KafkaError(KafkaError._TRANSPORT))
        self.problems.heard(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        assert [error.code for error in self.told] == ["_TRANSPORT", "_ALL_BROKERS_DOWN"]
        self.now = REPEAT_S
        self.problems.heard(KafkaError(KafkaError._TRANSPORT))
        assert len(self.told) == 3

    def test_after_a_success_a_problem_is_news(self) -> None:
        """An outage that ends and comes again is told of twice."""
        self.problems.heard(KafkaError(KafkaError._TRANSPORT))
        self.problems.forget()
        assert self.problems.last is None
        self.problems.heard(KafkaError(KafkaError._TRANSPORT))
        assert len(self.told) == 2

    def test_the_cause_is_not_hidden(self) -> None:
        """That all brokers are down does not replace the reason why."""
        self.problems.heard(KafkaError(KafkaError._AUTHENTICATION))
        self.problems.heard(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        assert isinstance(self.problems.last, BrokerRefused)

    def test_a_timeout_is_explained_by_its_cause(self) -> None:
        """A request that timed out because the password is wrong was refused."""
        timed_out = KafkaError(KafkaError._TIMED_OUT)
        assert isinstance(self.problems.explain(timed_out, doing="asking"), BrokerUnavailable)
        self.problems.heard(KafkaError(KafkaError._AUTHENTICATION))
        explained = self.problems.explain(timed_out, doing="asking")
        assert isinstance(explained, BrokerRefused)
        assert explained.code == "_AUTHENTICATION"
        assert "asking" in str(explained)
        assert ADDRESS in str(explained)

    def test_topics_are_told_of_apart(self) -> None:
        """An error in place of a record names group and topic, and explains no time-out."""
        for topic in ("a", "a", "b"):
            missing = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
            self.problems.heard_of(f"group g, topic {topic}", missing)
        assert len(self.told) == 2
        assert "group g, topic b" in str(self.told[1])
        assert self.problems.last is None
