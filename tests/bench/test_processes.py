# SPDX-License-Identifier: Apache-2.0
"""Measurements as processes, on the embedded cluster: their figures and their failures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kafka_notify
from kafka_notify.bench.process import (
    LOAD,
    OURS,
    RAW,
    Measurement,
    MeasurementFailed,
    Place,
    measure,
)

COUNT = 200


@pytest.fixture(scope="module")
def cluster() -> Iterator[kafka_notify.NotificationTransport]:
    with kafka_notify.get_notification_transport(url="embedded://") as transport:
        transport.check_connection()
        yield transport


@pytest.fixture
def place(cluster: kafka_notify.NotificationTransport, unique: str) -> Place:
    """Return the cluster as a place to measure, with the topic ``unique.info``."""
    # Only the embedded driver can make it; for kafka:// the mock refuses it after a time-out.
    cluster.driver.new_admin(on_problem=lambda _: None).create_topics(
        [f"{unique}.info"], partitions=-1, replication_factor=-1, timeout_s=10
    )
    return Place(brokers=cluster.address)


@pytest.mark.parametrize("program", [RAW, OURS], ids=["raw", "ours"])
def test_sent_is_confirmed_and_received(place: Place, unique: str, program: Any) -> None:
    """All that was sent is counted, with a rate, CPU time and memory of that process."""
    sent = measure(program, "send", place=place, topic=unique, count=COUNT)
    received = measure(program, "receive", place=place, topic=unique, count=COUNT)

    assert sent["count"] == COUNT
    assert received["count"] >= COUNT
    for figures in (sent, received):
        assert figures["rate"] > 0
        assert figures["cpu_us"] > 0
        assert figures["rss_mb"] > 5


def test_delays_are_of_what_another_process_sends(place: Place, unique: str) -> None:
    """The listener is ready, then the sender sends at its rate."""
    asked: dict[str, Any] = {"place": place, "topic": unique, "count": COUNT}
    with Measurement(OURS, "delays", **asked, options={"announce": True}) as listening:
        listening.wait_ready()
        sent = measure(OURS, "paced", **asked, options={"rate": 400})
        found = listening.figures()

    assert sent["rate"] <= 420
    assert found["count"] == COUNT
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["p999_ms"]


def test_a_first_notification_counts_from_the_start_of_the_process(
    place: Place, unique: str
) -> None:
    """Its import is part of it: no Python program starts in ten milliseconds."""
    found = measure(OURS, "first_sent", place=place, topic=unique, count=1)

    assert 10 < found["first_ms"] < 60_000


def test_a_failure_has_its_last_words(unique: str) -> None:
    """The error names what ended, and how; stderr as a whole is at hand."""
    place = Place(url="kafka://127.0.0.1:1/?delivery_timeout=1&close_timeout=1", brokers="-")

    with pytest.raises(MeasurementFailed, match="ours first_sent ended with 1") as caught:
        measure(OURS, "first_sent", place=place, topic=unique, count=1)

    assert "not confirmed" in caught.value.said


def test_a_login_is_on_no_command_line(place: Place, unique: str) -> None:
    """Everybody on the machine can read those."""
    secret = Place(brokers=place.brokers, url=f"kafka://me:sesame@{place.brokers}/")
    asked: dict[str, Any] = {"topic": unique, "count": COUNT}

    assert "sesame" not in repr(secret)
    with Measurement(RAW, "delays", place=secret, **asked, options={"announce": True}) as one:
        command = Path(f"/proc/{one.pid}/cmdline").read_bytes()

    assert b"kafka_notify.bench.raw" in command
    assert b"sesame" not in command


@pytest.mark.functional
def test_hidden_records_appear_at_once(kafka: Any, unique: str) -> None:
    """A group forms while the topic seems empty; then it shares what was written meanwhile."""
    place = Place(brokers=kafka.bootstrap)
    asked: dict[str, Any] = {"place": place, "topic": unique, "count": 2 * COUNT}
    measure(LOAD, "make", place=place, topic=unique, count=1, options={"partitions": 8})
    member = {"announce": True, "shared": True}
    with (
        Measurement(OURS, "receive", **asked, options=member) as one,
        Measurement(OURS, "receive", **asked, options=member) as other,
    ):
        one.wait_ready()
        other.wait_ready()
        hidden = {"announce": True, "hidden": True, "keys": 64}
        with Measurement(LOAD, "fill", **asked, options=hidden) as filling:
            filling.wait_ready()
            filling.go()
            filling.figures()
        counts = [one.figures()["count"], other.figures()["count"]]

    assert sum(counts) == 2 * COUNT
    assert min(counts) > 0
