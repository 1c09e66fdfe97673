# SPDX-License-Identifier: Apache-2.0
"""A program: fork with open clients, abandon them in the child, use new ones on both sides.

Run by test_conformance.py as ``forking.py URL PREFIX``; writes who succeeded.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

from kafka_notify.core.settings import Settings, parse_query
from kafka_notify.core.url import parse_url
from kafka_notify.drivers.base import ConsumerClient, Driver, load_driver

TIMEOUT_S = 30.0
CALLBACKS = {
    "on_assigned": lambda _: None,
    "on_revoked": lambda _: None,
    "on_lost": lambda _: None,
}


def ignore(*_: Any) -> None:
    """Take any callback."""


def deliver(driver: Driver, topic: str) -> None:
    """Send one record with a new producer and wait for its report."""
    reports: list[Any] = []
    producer = driver.new_producer(
        on_report=lambda *report: reports.append(report[-1]), on_problem=ignore
    )
    producer.send(topic, b"x", key=None)
    if producer.flush(TIMEOUT_S) or reports != [None]:
        raise SystemExit(f"not delivered: {reports}")
    producer.close()


def receive(consumer: ConsumerClient) -> None:
    """Take one record."""
    for _ in range(30):
        if consumer.take(1, 1.0):
            return
    raise SystemExit("nothing received")


def main(url: str, topic: str) -> None:
    """Fork once; the child exits like any program, the parent waits for it."""
    parsed = parse_url(url)
    driver = load_driver(parsed, Settings(**parse_query(parsed.query)))
    admin = driver.new_admin(on_problem=ignore)
    admin.create_topics([topic], partitions=4, replication_factor=-1, timeout_s=TIMEOUT_S)
    producer = driver.new_producer(on_report=ignore, on_problem=ignore)
    consumer = driver.new_consumer(topic, on_problem=ignore)
    consumer.subscribe([topic], **CALLBACKS)
    deliver(driver, topic)
    receive(consumer)
    child = os.fork()
    if not child:
        for client in (producer, consumer, admin):
            client.abandon()
        producer.close()
        deliver(driver, topic)
        sys.stdout.write("child\n")
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit("the child failed")
    deliver(driver, topic)
    receive(consumer)
    producer.close()
    consumer.close()
    driver.close()
    sys.stdout.write("parent\n")


if __name__ == "__main__":
    # librdkafka's threads make Python 3.12 warn of every fork; this program is about just that.
    warnings.simplefilter("ignore", DeprecationWarning)
    main(sys.argv[1], sys.argv[2])
