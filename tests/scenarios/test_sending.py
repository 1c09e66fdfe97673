# SPDX-License-Identifier: Apache-2.0
"""Every record ends delivered, reported on as failed, or as an exception of its call, in time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import kafka_notify
from kafka_notify.errors import DeliveryRefused, DeliveryTimeout, SendBufferFull
from tests.conftest import Kafka
from tests.scenarios.topics import BareClient

pytestmark = pytest.mark.functional

Connect = Callable[..., kafka_notify.NotificationTransport]
MARGIN_S = 10.0  # what a busy machine may add to a bound


@pytest.fixture
def nobody() -> Iterator[str]:
    """Yield an address where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


class Reports:
    """Keeps delivery reports."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._reports: list[kafka_notify.DeliveryReport] = []

    def __call__(self, report: kafka_notify.DeliveryReport) -> None:
        with self._changed:
            self._reports.append(report)
            self._changed.notify_all()

    def wait(self, count: int) -> list[kafka_notify.DeliveryReport]:
        """Return the reports once there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._reports) >= count, 60)
            return list(self._reports)


def notifier(
    transport: kafka_notify.NotificationTransport, topic: str, retry: int | None = None
) -> kafka_notify.Notifier:
    """Return a notifier of one publisher."""
    return kafka_notify.Notifier(transport, "publisher", topics=[topic], retry=retry)


@pytest.mark.parametrize("retry", [0, 1])
def test_confirm_raises_when_no_broker_is_there(
    retry: int, connect: Connect, nobody: str, unique: str
) -> None:
    """Within retry + 1 times confirm_timeout; the error names address, cause and attempts."""
    url = f"kafka://{nobody}/?delivery=confirm&confirm_timeout=1&close_timeout=0"
    sender = notifier(connect(url), unique, retry)
    began = time.monotonic()
    with pytest.raises(DeliveryTimeout, match="Connection refused") as caught:
        sender.info({}, "sending", 0)
    assert time.monotonic() - began < retry + 1 + MARGIN_S
    assert nobody in str(caught.value)
    assert caught.value.attempts == retry + 1
    assert caught.value.topic == f"{unique}.info"


def test_confirm_names_a_host_that_does_not_resolve(connect: Connect, unique: str) -> None:
    """The name is in the error, and that it does not resolve."""
    url = "kafka://no-such-host.invalid:9092/?delivery=confirm&confirm_timeout=2&close_timeout=0"
    with pytest.raises(DeliveryTimeout, match=r"no-such-host\.invalid") as caught:
        notifier(connect(url), unique, 0).info({}, "sending", 0)
    assert "resolve" in str(caught.value)


def test_a_record_over_our_limit_is_refused_at_once(
    connect: Connect, kafka: Kafka, bare: BareClient, unique: str
) -> None:
    """Larger than max_record_bytes: its call raises, those around it in the burst arrive."""
    sender = notifier(connect(kafka.url(max_record_bytes=10_000)), unique)
    for number in range(10):
        sender.info({}, "small", number)
    with pytest.raises(DeliveryRefused, match="max_record_bytes"):
        sender.info({}, "large", "x" * 20_000)
    for number in range(10, 20):
        sender.info({}, "small", number)
    sender.transport.cleanup()
    assert bare.payloads(f"{unique}.info") == list(range(20))


def test_a_record_over_the_topics_limit_is_reported_on(
    connect: Connect,
    kafka: Kafka,
    bare: BareClient,
    unique: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Refused by the broker: logged as an error with its message_id, and told to on_delivery."""
    bare.create(f"{unique}.info", max_message_bytes="5000")
    reports = Reports()
    sender = notifier(connect(kafka.url(), on_delivery=reports), unique)
    sender.info({}, "small", 1)
    reports.wait(1)
    sender.info({}, "large", "x" * 20_000)
    reports.wait(2)
    sender.info({}, "small", 2)
    first, refused, last = reports.wait(3)
    assert (first.error, last.error) == (None, None)
    assert isinstance(refused.error, DeliveryRefused)
    assert refused.message_id
    (error,) = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert refused.message_id in error
    assert "max.message.bytes" in error
    assert bare.payloads(f"{unique}.info") == [1, 2]


def test_a_record_over_the_topics_limit_raises_with_confirm(
    connect: Connect, kafka: Kafka, bare: BareClient, unique: str
) -> None:
    """delivery=confirm: the call raises at the first attempt, and the next one works."""
    bare.create(f"{unique}.info", max_message_bytes="5000")
    sender = notifier(connect(kafka.url(delivery="confirm")), unique)
    with pytest.raises(DeliveryRefused, match=r"max\.message\.bytes") as caught:
        sender.info({}, "large", "x" * 20_000)
    assert caught.value.message_id
    assert caught.value.attempts == 1
    sender.info({}, "small", 1)
    assert bare.payloads(f"{unique}.info") == [1]


@pytest.mark.parametrize("large", [0, 5])
def test_a_batch_over_the_topics_limit_costs_only_what_is_too_large(
    large: int, connect: Connect, kafka: Kafka, bare: BareClient, unique: str
) -> None:
    """Records that are small, but too large together, arrive in their order: brokers see batches.

    So do those that share a batch with one that is too large by itself.
    """
    bare.create(f"{unique}.info", 1, max_message_bytes="5000")
    reports = Reports()
    transport = connect(kafka.url(producer_batch_timeout=0.1), on_delivery=reports)
    sender = notifier(transport, unique)
    payloads = ["x" * 20_000 if one < large else f"{one} {'x' * 400}" for one in range(40)]
    for payload in payloads:
        sender.info({}, "burst", payload)
    assert transport.flush(30) == 0
    failed = [one.error for one in reports.wait(40) if one.error is not None]
    assert [type(one) for one in failed] == [DeliveryRefused] * large
    assert bare.payloads(f"{unique}.info") == payloads[large:]


def test_each_record_has_its_report(
    connect: Connect, kafka: Kafka, bare: BareClient, unique: str
) -> None:
    """on_delivery is told where each record lies, under the message_id that is in it."""
    reports = Reports()
    sender = notifier(connect(kafka.url(), on_delivery=reports), unique)
    for number in range(100):
        sender.info({}, "sending", number)
    found = reports.wait(100)
    assert {report.topic for report in found} == {f"{unique}.info"}
    assert {report.error for report in found} == {None}
    stored = bare.read(f"{unique}.info")
    where = {(one.partition, one.offset): one.fields["message_id"] for one in stored}
    assert {(report.partition, report.offset): report.message_id for report in found} == where
    assert sender.transport.stats()["confirmed"] == 100


def test_a_full_buffer_raises_within_its_bound(connect: Connect, nobody: str, unique: str) -> None:
    """The broker is away and the buffer full: a send waits send_block_timeout, then raises."""
    url = f"kafka://{nobody}/?send_buffer_records=100&send_block_timeout=1&close_timeout=0"
    sender = notifier(connect(url), unique)
    for number in range(100):
        sender.info({}, "sending", number)
    began = time.monotonic()
    with pytest.raises(SendBufferFull, match="send_buffer_records") as caught:
        sender.info({}, "sending", 100)
    assert 1 <= time.monotonic() - began < 1 + MARGIN_S
    assert "Connection refused" in str(caught.value)


def test_a_full_buffer_holds_senders_up_until_there_is_room(
    connect: Connect, kafka: Kafka, bare: BareClient, unique: str
) -> None:
    """Four threads send far more than fits: none raises, all arrives, each thread's in order."""
    transport = connect(kafka.url(send_buffer_records=50))

    def stream(first: int) -> None:
        publisher = notifier(transport, unique).prepare(publisher_id=f"publisher-{first}")
        for number in range(first, first + 1000):
            publisher.info({}, "sending", number)

    threads = [threading.Thread(target=stream, args=(one * 1000,)) for one in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    transport.cleanup()
    stored = bare.payloads(f"{unique}.info")
    assert sorted(stored) == list(range(4000))
    for first in range(0, 4000, 1000):
        mine = [number for number in stored if first <= number < first + 1000]
        assert mine == sorted(mine)
