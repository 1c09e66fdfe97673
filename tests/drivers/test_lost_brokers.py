# SPDX-License-Identifier: Apache-2.0
"""A client that has lost sight of all brokers (librdkafka issue 5301) is replaced.

The loss itself is a race inside librdkafka: ``test_listeners_that_were_taken_for_dead_go_on`` in
tests/scenarios comes upon it about once in five runs. Here is what follows from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from kafka_notify.drivers.confluent_brokers import KnownBrokers
from kafka_notify.drivers.confluent_consumer import KafkaConsumer
from kafka_notify.drivers.confluent_errors import Problems
from kafka_notify.drivers.confluent_producer import KafkaProducer
from kafka_notify.errors import BrokerUnavailable
from tests.drivers.bench import TIMEOUT_S, Bench, take_until
from tests.waiting import eventually

NOBODY = "127.0.0.1:1"


@pytest.fixture
def bench(unique: str) -> Iterator[Bench]:
    """Yield a bench on an embedded cluster."""
    opened = Bench(f"embedded://{unique}/")
    yield opened
    opened.close()


def lose(brokers: KnownBrokers) -> None:
    """Have a watch hear twice of a client without brokers, as librdkafka's own text has it."""
    coordinator = {"GroupCoordinator": {"source": "logical", "nodeid": -1}}
    for _ in range(2):
        brokers.heard(json.dumps({"brokers": coordinator}))
    assert brokers.all_lost


def test_what_a_client_knows_is_read_from_its_statistics() -> None:
    """Bootstrap servers count before anything has answered; one empty list does not."""
    heard: list[str] = []
    client = Producer(
        {
            "bootstrap.servers": NOBODY,
            "statistics.interval.ms": 100,
            "stats_cb": heard.append,
            "log_level": 0,
        }
    )
    eventually(lambda: client.poll(0.1) >= 0 and len(heard) >= 2, TIMEOUT_S, "statistics")
    brokers = KnownBrokers()
    for text in heard:
        brokers.heard(text)
        assert not brokers.all_lost
    brokers.heard('{"brokers": {}}')
    assert not brokers.all_lost
    brokers.heard('{"brokers": {}}')
    assert brokers.all_lost
    brokers.heard(heard[0])
    assert not brokers.all_lost


def test_a_producer_hands_on_what_is_queued(bench: Bench, unique: str) -> None:
    """All of it goes to the next client, in its order, with key and headers; one report each."""
    reports: list[tuple[Any, ...]] = []
    addresses = iter([NOBODY, bench.driver.address])
    brokers = KnownBrokers()
    producer = KafkaProducer(
        lambda: Producer({"bootstrap.servers": next(addresses), "log_level": 0}),
        brokers=brokers,
        address="there",
        problems=Problems(address="there", on_problem=lambda _problem: None),
        on_report=lambda *report: reports.append(report),
    )
    bench.create(unique)
    for number in range(500):
        producer.send(
            unique, b"%d" % number, key=b"k", headers=[("h", b"%d" % number)], token=number
        )
    lose(brokers)
    producer.poll(0)
    producer.send(unique, b"500", key=b"k", token=500)
    left = producer.flush(TIMEOUT_S)
    producer.close()
    assert left == 0
    assert [report[0] for report in reports] == list(range(501))
    assert [report[-1] for report in reports] == [None] * 501
    member = bench.member("g", unique)
    take_until([member], lambda: len(member.values) == 501, "all records")
    assert member.values == [b"%d" % number for number in range(501)]
    assert member.records[499].key == b"k"
    assert member.records[499].headers == (("h", b"499"),)


def test_a_consumer_says_that_it_must_be_made_anew(bench: Bench) -> None:
    """It raises instead of waiting for ever."""
    consumer = bench.consumer("g")
    assert isinstance(consumer, KafkaConsumer)
    assert consumer.take(1, 0.01) == []
    lose(consumer._brokers)  # the client's own statistics come every 5 s, and know better
    with pytest.raises(BrokerUnavailable, match="lost sight of all brokers"):
        consumer.take(1, 0.01)
