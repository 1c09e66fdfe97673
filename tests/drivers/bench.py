# SPDX-License-Identifier: Apache-2.0
"""What the driver tests work with: clients that are closed in the end, and what they said."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from kafka_notify.core.message import Partition, Record
from kafka_notify.core.settings import Settings, parse_query
from kafka_notify.core.url import parse_url
from kafka_notify.drivers.base import (
    AdminClient,
    ConsumerClient,
    Driver,
    ProducerClient,
    ReaderClient,
    load_driver,
)
from kafka_notify.errors import BrokerError, ConsumerFenced, DeliveryError
from tests.waiting import eventually

TIMEOUT_S = 30.0
"""For what a healthy cluster does; a rebalance may wait for a heartbeat of 5 s or two."""


class Report(NamedTuple):
    """What a producer reported of one record."""

    token: Any
    topic: str
    partition: int
    offset: int
    error: DeliveryError | None


class Bench:
    """A driver by its URL, and the clients made with it."""

    def __init__(self, url: str, **query: str) -> None:
        parsed = parse_url(url)
        self.settings = Settings(**parse_query({**parsed.query, **query}))
        self.driver: Driver = load_driver(parsed, self.settings)
        self.reports: list[Report] = []
        self.problems: list[BrokerError] = []
        self.admin: AdminClient = self.driver.new_admin(on_problem=self.problems.append)
        self._open: list[Any] = [self.driver, self.admin]

    def close(self) -> None:
        for client in reversed(self._open):
            client.close()

    def producer(self, *, failures_only: bool = False) -> ProducerClient:
        producer = self.driver.new_producer(
            on_report=lambda *report: self.reports.append(Report(*report)),
            on_problem=self.problems.append,
            failures_only=failures_only,
        )
        self._open.append(producer)
        return producer

    def consumer(self, group: str) -> ConsumerClient:
        consumer = self.driver.new_consumer(group, on_problem=self.problems.append)
        self._open.append(consumer)
        return consumer

    def reader(self) -> ReaderClient:
        reader = self.driver.new_reader(on_problem=self.problems.append)
        self._open.append(reader)
        return reader

    def member(self, group: str, *topics: str) -> Member:
        """Return a member that has subscribed and has been given nothing yet."""
        return Member(self.consumer(group), topics)

    def create(self, *topics: str, partitions: int = 4) -> list[Partition]:
        outcome = self.admin.create_topics(
            topics, partitions=partitions, replication_factor=-1, timeout_s=TIMEOUT_S
        )
        assert dict.fromkeys(topics) == outcome
        return [Partition(topic, number) for topic in topics for number in range(partitions)]

    def send(self, topic: str, values: Iterable[bytes], *, key: bytes | None = None) -> None:
        """Send and wait for all delivery reports."""
        producer = self.producer()
        before = len(self.reports)
        sent = [producer.send(topic, value, key=key, token=value) for value in values]
        assert producer.flush(TIMEOUT_S) == 0
        failed = [report for report in self.reports[before:] if report.error]
        assert len(self.reports) - before == len(sent)
        assert not failed


class Member:
    """A consumer in a group; it notes what came and what went, in order."""

    def __init__(self, consumer: ConsumerClient, topics: Iterable[str]) -> None:
        self.consumer = consumer
        self.assigned: set[Partition] = set()
        self.events: list[tuple[str, tuple[Partition, ...]]] = []
        self.records: list[Record] = []
        self.on_assigned: Callable[[], None] = lambda: None
        self.on_revoked: Callable[[], None] = lambda: None
        consumer.subscribe(
            topics, on_assigned=self._came, on_revoked=self._revoked, on_lost=self._lost
        )

    def _came(self, partitions: Iterable[Partition]) -> None:
        self.events.append(("assigned", tuple(partitions)))
        self.assigned.update(partitions)
        self.on_assigned()

    def _revoked(self, partitions: Iterable[Partition]) -> None:
        self.events.append(("revoked", tuple(partitions)))
        self.on_revoked()
        self.assigned.difference_update(partitions)

    def _lost(self, partitions: Iterable[Partition]) -> None:
        self.events.append(("lost", tuple(partitions)))
        self.assigned.difference_update(partitions)

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]

    def take(self, timeout_s: float = 0.05) -> list[Record]:
        taken = self.consumer.take(500, timeout_s)
        self.records += taken
        return taken


def take_until(
    members: Iterable[Member],
    predicate: Callable[[], bool],
    what: str,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Let the members take until the predicate is true."""
    members = list(members)

    def step() -> bool:
        for member in members:
            member.take()
        return predicate()

    eventually(step, timeout_s, what)


def refused_protocol(member: Member) -> ConsumerFenced:
    """Take until the member is told that the cluster does not know its protocol."""
    fenced: list[ConsumerFenced] = []

    def step() -> bool:
        try:
            member.take()
        except ConsumerFenced as error:
            fenced.append(error)
        return bool(fenced)

    eventually(step, TIMEOUT_S, "the protocol to be refused")
    return fenced[0]
