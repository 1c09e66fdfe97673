# SPDX-License-Identifier: Apache-2.0
"""The sending side: every record ends in a report, an exception, or a line in the log."""

import contextlib
import threading

import pytest

import kafka_notify
from kafka_notify.core.events import DeliveryCallbackFailed, DeliveryFailed, RecordsUnsent
from kafka_notify.errors import (
    ClosedError,
    DeliveryRefused,
    DeliveryTimeout,
    SendBufferFull,
)
from kafka_notify.runtime import sender
from tests.waiting import eventually

BOUND_S = 10.0


def test_each_record_is_reported_on(connect, cluster):
    """``on_delivery`` hears topic, partition, offset and message_id of each."""
    reports = []
    transport = connect(on_delivery=reports.append)
    notifier = kafka_notify.Notifier(transport, "p")
    for number in range(20):
        notifier.info({}, "e", number)
    assert transport.flush() == 0
    eventually(lambda: len(reports) == 20, BOUND_S, "20 reports")
    assert {report.error for report in reports} == {None}
    assert [report.offset for report in reports] == list(range(20))
    assert len({report.message_id for report in reports}) == 20
    assert transport.stats()["confirmed"] == 20


def test_a_refused_record_is_counted_logged_and_told(connect, cluster, caplog):
    """The line is an ERROR with message_id, topic and cause."""
    cluster.refuse(
        "notifications.info", DeliveryRefused("no such luck", topic="notifications.info")
    )
    reports = []
    transport = connect(on_delivery=reports.append)
    kafka_notify.Notifier(transport, "p").info({}, "e", {})
    assert transport.flush() == 0
    [report] = eventually(lambda: reports, BOUND_S, "the report")
    assert isinstance(report.error, DeliveryRefused)
    assert transport.stats()["failed"] == 1
    [failed] = [event for event in transport.events if isinstance(event, DeliveryFailed)]
    assert failed.message_id == report.message_id
    [line] = [record for record in caplog.records if record.levelname == "ERROR"]
    for part in (report.message_id, "notifications.info", "no such luck"):
        assert part in line.getMessage()


def test_confirm_returns_when_kafka_has_it(connect, cluster):
    """After ``info()`` the record is in the log, nothing needs flushing."""
    transport = connect("delivery=confirm")
    kafka_notify.Notifier(transport, "p").info({}, "e", {})
    assert len(cluster.records("notifications.info")) == 1


class Interrupted(threading.Event):
    """What wakes the thread of the reports; others send right before and after it is cleared."""

    def __init__(self, send):
        super().__init__()
        self.send = send

    def clear(self):
        self.send()
        super().clear()
        self.send()


def test_no_report_is_slept_through(connect, monkeypatch):
    """Whatever is sent while the thread of the reports begins to look for some."""
    monkeypatch.setattr(sender, "_IDLE_S", 10 * BOUND_S)
    reports = []
    transport = connect(on_delivery=reports.append)
    notifier = kafka_notify.Notifier(transport, "p")

    def meanwhile():
        with contextlib.suppress(ClosedError):
            notifier.info({}, "e", "meanwhile")

    transport.sender._wake = Interrupted(meanwhile)
    for turn in (1, 2, 3):
        notifier.info({}, "e", turn)
        eventually(lambda turn=turn: len(reports) == 3 * turn, BOUND_S, "all reports")
    assert transport.stats()["sent"] == 9


def test_confirm_raises_what_kafka_says(connect, cluster):
    """The error carries the message_id and the attempts."""
    cluster.refuse("notifications.info", DeliveryRefused("no such luck"))
    transport = connect("delivery=confirm")
    with pytest.raises(DeliveryRefused, match="no such luck") as caught:
        kafka_notify.Notifier(transport, "p").info({}, "e", {})
    assert caught.value.attempts == 1
    assert caught.value.message_id


def test_confirm_without_retry_ends_after_one_attempt(connect, cluster):
    """retry=0 with the brokers away: one DeliveryTimeout that names address and bound."""
    cluster.unavailable = True
    transport = connect("delivery=confirm&confirm_timeout=1&close_timeout=0")
    with pytest.raises(
        DeliveryTimeout, match=rf"memory://{cluster.name} in 1 attempt\(s\) of 1 s"
    ):
        kafka_notify.Notifier(transport, "p", retry=0).info({}, "e", {})


def test_confirm_for_ever_gets_through_when_the_brokers_are_back(connect, cluster):
    """retry=-1: the caller is still waiting when the brokers return, and then has it confirmed."""
    cluster.unavailable = True
    transport = connect("delivery=confirm&confirm_timeout=1")
    done = threading.Event()

    def send():
        kafka_notify.Notifier(transport, "p", retry=-1).info({}, "e", {})
        done.set()

    thread = threading.Thread(target=send)
    thread.start()
    eventually(lambda: transport.stats()["failed"] >= 1, BOUND_S, "a failed attempt")
    assert not done.is_set()
    cluster.unavailable = False
    assert done.wait(BOUND_S)
    thread.join(BOUND_S)
    assert len(cluster.records("notifications.info")) == 1


def test_a_full_buffer_blocks_up_to_its_bound_then_raises(connect, cluster):
    """Nothing of the refused one is queued; the error names the options."""
    cluster.unavailable = True
    transport = connect("send_buffer_records=3&send_block_timeout=0.2&close_timeout=0")
    notifier = kafka_notify.Notifier(transport, "p")
    for _ in range(3):
        notifier.info({}, "e", {})
    with pytest.raises(SendBufferFull, match=r"full for 0.2 s \(send_buffer_records"):
        notifier.info({}, "e", {})
    assert transport.stats()["sent"] == 3


def test_a_blocked_send_goes_on_when_there_is_room(connect, cluster):
    """The brokers come back while a sender is blocked: all four arrive, in order."""
    cluster.unavailable = True
    transport = connect("send_buffer_records=3&send_block_timeout=10")
    notifier = kafka_notify.Notifier(transport, "p")
    for number in range(3):
        notifier.info({}, "e", number)
    blocked = threading.Thread(target=notifier.info, args=({}, "e", 3))
    blocked.start()
    cluster.unavailable = False
    blocked.join(BOUND_S)
    assert transport.flush() == 0
    assert len(cluster.records("notifications.info")) == 4


def test_a_record_over_the_limit_is_refused_alone(connect, cluster):
    """Small ones before and after it arrive."""
    transport = connect("max_record_bytes=1000")
    notifier = kafka_notify.Notifier(transport, "p")
    notifier.info({}, "e", 1)
    with pytest.raises(DeliveryRefused, match="max_record_bytes"):
        notifier.info({}, "e", "x" * 2000)
    notifier.info({}, "e", 2)
    assert transport.flush() == 0
    assert len(cluster.records("notifications.info")) == 2


def test_closing_says_what_it_could_not_deliver(connect, cluster, caplog):
    """Each record with its message_id, and their number; cleanup is bounded by close_timeout."""
    cluster.unavailable = True
    transport = connect("close_timeout=0.1")
    notifier = kafka_notify.Notifier(transport, "p")
    for _ in range(3):
        notifier.info({}, "e", {})
    transport.cleanup()
    assert transport.stats()["failed"] == 3
    [unsent] = [event for event in transport.events if isinstance(event, RecordsUnsent)]
    assert unsent.count == 3
    assert caplog.text.count("was not delivered") == 3


def test_a_closed_transport_says_so(connect):
    """Sending and starting a listener after cleanup raise; cleanup itself can be repeated."""
    transport = connect()
    notifier = kafka_notify.Notifier(transport, "p")
    transport.cleanup()
    transport.cleanup()
    with pytest.raises(ClosedError, match="get a new one"):
        notifier.info({}, "e", {})
    assert "closed" in repr(transport)


def test_the_record_key_follows_its_option(connect, cluster):
    """none, publisher_id, event_type, a path; a path that leads nowhere falls back."""
    payload = {"instance": {"id": "i-1"}}
    for option, key in [
        ("none", None),
        ("publisher_id", b"p"),
        ("event_type", b"e"),
        ("payload/instance/id", b"i-1"),
        ("payload/no/such", b"p"),
    ]:
        transport = connect(f"record_key={option}&delivery=confirm")
        topic = option.replace("/", "_")
        kafka_notify.Notifier(transport, "p", topics=[topic]).info({}, "e", payload)
        assert cluster.records(f"{topic}.info")[0].key == key


def test_a_callback_that_raises_ends_nothing(connect, cluster):
    """The error is told; every further report comes, and cleanup goes its way."""
    heard = []

    def callback(report):
        heard.append(report.message_id)
        raise ZeroDivisionError("oops")

    transport = connect(on_delivery=callback)
    notifier = kafka_notify.Notifier(transport, "p")
    for number in range(3):
        notifier.info({}, "e", number)
    assert transport.flush() == 0
    transport.cleanup()
    assert len(heard) == 3
    assert transport.stats()["confirmed"] == 3
    assert sum(isinstance(event, DeliveryCallbackFailed) for event in transport.events) == 3
