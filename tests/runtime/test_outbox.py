# SPDX-License-Identifier: Apache-2.0
"""The outbox of a transport: what goes there and when, what it tells, and what it refuses."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import kafka_notify
from kafka_notify.core.events import (
    DeliveryFailed,
    OutboxAdopted,
    OutboxKept,
    OutboxStraight,
    RecordsUnsent,
)
from kafka_notify.errors import (
    ClosedError,
    ConfigurationError,
    DeliveryRefused,
)
from kafka_notify.runtime.outbox import pump
from kafka_notify.runtime.outgoing import Outgoing
from tests.runtime.outboxes import BOUND_S, MODES, TOPIC, arrived, events, files, send
from tests.waiting import eventually


@MODES
def test_all_arrives_in_order_across_outages(mode, open_outbox, cluster):
    """Before, during, between and after two of them: once, as sent, with a report each."""
    reports: list[Any] = []
    transport = open_outbox(mode, on_delivery=reports.append)
    for first in (0, 200):
        send(transport, range(first, first + 50))
        cluster.unavailable = True
        send(transport, range(first + 50, first + 100))
        assert transport.flush(0.3) == transport.stats()["sent"] - len(arrived(cluster))
        eventually(lambda: transport.stats()["outbox_records"] >= 50, BOUND_S, "50 in the outbox")
        send(transport, range(first + 100, first + 150))
        assert transport.stats()["outbox_records"] >= 100
        cluster.unavailable = False
        assert transport.flush(BOUND_S) == 0
        if mode == "on_failure":
            eventually(
                lambda count=first // 200 + 1: len(events(transport, OutboxStraight)) >= count,
                BOUND_S,
                "sends go straight",
            )
        send(transport, range(first + 150, first + 200))
    assert transport.flush(BOUND_S) == 0
    assert arrived(cluster) == list(range(400))
    eventually(lambda: len(reports) == 400, BOUND_S, "400 reports")
    assert [report.offset for report in reports] == list(range(400))
    stats = transport.stats()
    assert (stats["sent"], stats["confirmed"], stats["failed"]) == (400, 400, 0)
    assert (stats["outbox_records"], stats["resent"]) == (0, 0)
    assert stats["spooled"] == stats["replayed"]
    assert stats["spooled"] >= (400 if mode == "always" else 200)


def test_nothing_touches_the_disk_while_all_is_well(open_outbox, cluster, spool):
    """on_failure: no file is made before something fails."""
    transport = open_outbox("on_failure", late_s=BOUND_S)
    send(transport, range(100))
    assert transport.flush(BOUND_S) == 0
    assert transport.stats()["spooled"] == 0
    assert files(spool) == []


def test_always_has_it_on_disk_when_the_send_returns(open_outbox, cluster, spool):
    """Whoever opens a copy of the file then finds it."""
    cluster.unavailable = True
    transport = open_outbox("always")
    send(transport, ["precious"])
    [file] = files(spool)
    copy = file.with_name("copy")
    for end in ("", "-wal"):
        Path(f"{copy}{end}").write_bytes(Path(f"{file}{end}").read_bytes())
    with sqlite3.connect(copy) as db:
        [(topic, key, value)] = db.execute("SELECT topic, key, value FROM records").fetchall()
    db.close()
    assert (topic, key) == (TOPIC, b"p")
    assert b"precious" in value


@MODES
def test_what_is_left_at_the_end_is_sent_by_the_next(mode, open_outbox, cluster, spool, caplog):
    """The end says how many wait and where; the next transport sends them before its own."""
    cluster.unavailable = True
    transport = open_outbox(mode)
    send(transport, range(100))
    transport.cleanup()
    [kept] = events(transport, OutboxKept)
    assert kept.records == 100
    assert kept.path == str(files(spool)[0])
    assert events(transport, RecordsUnsent) == []
    assert "100 notifications wait in the outbox" in caplog.text
    cluster.unavailable = False
    reports: list[Any] = []
    following = open_outbox(mode, on_delivery=reports.append)
    send(following, range(100, 200))
    assert following.flush(BOUND_S) == 0
    assert arrived(cluster) == list(range(200))
    [adopted] = events(following, OutboxAdopted) or [None]
    assert adopted is None or adopted.records == 100
    assert len(reports) == 200
    following.cleanup()
    assert files(spool, "") == []


def test_what_a_dead_process_left_is_found_by_those_that_live(
    open_outbox, cluster, spool, monkeypatch
):
    """A transport that has been there for long looks again and again."""
    from kafka_notify.runtime.outbox import files as files_module

    monkeypatch.setattr(files_module, "_SCAN_S", 0.05)
    living = open_outbox("on_failure", late_s=BOUND_S)
    send(living, ["living"])
    assert living.flush(BOUND_S) == 0
    cluster.unavailable = True
    dying = open_outbox("always")
    send(dying, range(10))
    dying.cleanup()
    cluster.unavailable = False
    eventually(lambda: len(arrived(cluster)) == 11, BOUND_S, "what was left")
    assert living.flush(BOUND_S) == 0
    assert living.stats()["replayed"] == 10
    assert living.stats()["spooled"] == 0
    assert [event.records for event in events(living, OutboxAdopted)] == [10]


@MODES
def test_more_files_than_are_open_at_a_time_come_in_order(mode, open_outbox, cluster):
    """A publisher whose process ended a dozen times during an outage: all of it, in order."""
    cluster.unavailable = True
    for number in range(12):
        transport = open_outbox("always")
        send(transport, [number])
        transport.cleanup()
    following = open_outbox(mode)
    send(following, range(12, 20))
    cluster.unavailable = False
    send(following, range(20, 30))
    assert following.flush(BOUND_S) == 0
    assert arrived(cluster) == list(range(30))


# --- confirmation


@MODES
def test_confirm_takes_the_outbox_for_an_answer(mode, open_outbox, cluster):
    """delivery=confirm and nobody there: info() returns when it is stored, however often."""
    cluster.unavailable = True
    transport = open_outbox(mode, "delivery=confirm")
    began = time.monotonic()
    send(transport, range(20))
    assert time.monotonic() - began < BOUND_S
    assert transport.stats()["outbox_records"] == 20
    cluster.unavailable = False
    assert transport.flush(BOUND_S) == 0
    assert arrived(cluster) == list(range(20))


def test_confirm_waits_for_kafka_while_it_answers(open_outbox, cluster):
    """on_failure: the record is in the log when info() returns, and never was on disk."""
    transport = open_outbox("on_failure", "delivery=confirm", late_s=BOUND_S)
    for number in range(20):
        send(transport, [number])
        assert arrived(cluster) == list(range(number + 1))
    assert transport.stats()["spooled"] == 0


def test_confirm_raises_what_kafka_refuses(open_outbox, cluster):
    """on_failure: a refused record is nothing that the outbox could help."""
    cluster.refuse(TOPIC, DeliveryRefused("no such luck"))
    transport = open_outbox("on_failure", "delivery=confirm", late_s=BOUND_S)
    with pytest.raises(DeliveryRefused, match="no such luck") as caught:
        send(transport, ["x"])
    assert caught.value.message_id
    assert events(transport, DeliveryFailed) == []


def test_confirm_checks_its_retry(open_outbox):
    """As without an outbox."""
    transport = open_outbox("on_failure", "delivery=confirm")
    with pytest.raises(ConfigurationError, match="retry"):
        kafka_notify.Notifier(transport, "p", retry="often").info({}, "e", {})


# --- refusals


@MODES
def test_a_refused_record_costs_only_itself(mode, open_outbox, cluster, caplog):
    """It is logged and told; those before and after it, of other topics, arrive in order."""
    cluster.refuse("bad.info", DeliveryRefused("no such luck", topic="bad.info"))
    reports: list[Any] = []
    transport = open_outbox(mode, on_delivery=reports.append)
    good = kafka_notify.Notifier(transport, "p")
    bad = kafka_notify.Notifier(transport, "p", topics=["bad"])
    for number in range(30):
        good.info({}, "e", number)
        if number % 10 == 5:
            bad.info({}, "e", number)
    assert transport.flush(BOUND_S) == 0
    assert arrived(cluster) == list(range(30))
    failed = [report for report in reports if report.error is not None]
    assert [report.topic for report in failed] == ["bad.info"] * 3
    assert len(events(transport, DeliveryFailed)) == 3
    assert caplog.text.count("was not delivered to topic bad.info: no such luck") == 3
    assert transport.stats()["failed"] == 3
    assert transport.stats()["outbox_records"] == 0


@MODES
def test_a_record_over_our_limit_is_refused_at_once(mode, open_outbox, cluster):
    """Its call raises, during an outage as well; nothing of it is stored."""
    transport = open_outbox(mode, "max_record_bytes=1000")
    for away in (False, True):
        cluster.unavailable = away
        send(transport, [1])
        transport.flush(0.3)
        with pytest.raises(DeliveryRefused, match="max_record_bytes"):
            send(transport, ["x" * 2000])
    cluster.unavailable = False
    assert transport.flush(BOUND_S) == 0
    assert arrived(cluster) == [1, 1]


# --- the end


@MODES
def test_a_closed_transport_says_so(mode, open_outbox):
    """Sending after cleanup raises ClosedError; cleanup and flush can be repeated."""
    transport = open_outbox(mode)
    send(transport, [1])
    transport.cleanup()
    transport.cleanup()
    assert transport.flush(1) == 0
    with pytest.raises(ClosedError):
        send(transport, [2])


@MODES
def test_closing_amid_sends_loses_none_that_returned(mode, open_outbox, cluster):
    """Threads send while the transport is closed: each send is accepted or raises."""
    transport = open_outbox(mode)
    accepted: list[list[int]] = [[], [], []]
    going = threading.Barrier(4)

    def stream(mine: list[int], publisher: str) -> None:
        going.wait()
        for number in range(1_000_000):
            try:
                send(transport, [[publisher, number]], publisher)
            except ClosedError:
                return
            mine.append(number)

    threads = [
        threading.Thread(target=stream, args=(mine, f"p{one}"))
        for one, mine in enumerate(accepted)
    ]
    for thread in threads:
        thread.start()
    going.wait()
    eventually(lambda: all(len(mine) > 50 for mine in accepted), BOUND_S, "sends")
    transport.cleanup()
    for thread in threads:
        thread.join(BOUND_S)
    assert open_outbox(mode).flush(BOUND_S) == 0
    found = arrived(cluster)
    for one, mine in enumerate(accepted):
        numbers = [number for publisher, number in found if publisher == f"p{one}"]
        assert numbers[: len(mine)] == mine


@MODES
def test_threads_that_send_at_full_speed_are_kept_up_with(mode, open_outbox, cluster, monkeypatch):
    """An outage ends while they send: the outbox gets empty all the same."""
    monkeypatch.setattr(pump, "_MUCH", 500)
    monkeypatch.setattr(pump, "_NEAR", 100)
    cluster.unavailable = True
    transport = open_outbox(mode)
    enough = threading.Event()

    def stream(publisher: str) -> None:
        number = 0
        while not enough.is_set():
            send(transport, [number], publisher)
            number += 1

    threads = [threading.Thread(target=stream, args=(f"p{one}",)) for one in range(3)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: transport.stats()["outbox_records"] > 800, BOUND_S, "a backlog")
        cluster.unavailable = False
        eventually(lambda: transport.stats()["outbox_records"] < 600, BOUND_S, "an end of it")
        if mode == "on_failure":
            eventually(lambda: events(transport, OutboxStraight), BOUND_S, "sends go straight")
    finally:
        enough.set()
        for thread in threads:
            thread.join(BOUND_S)
    assert transport.flush(BOUND_S) == 0
    assert transport.stats()["sent"] == len(arrived(cluster))


@MODES
def test_a_record_keeps_its_headers(mode, open_outbox, cluster, monkeypatch):
    """From the disk as from the client, and those that were adopted."""
    headers = (("a", b"1"), ("b", b""), ("a", b"\xff"))
    record = Outgoing(topic="t", key=None, value=b"v", message_id="id", headers=headers)
    transport = open_outbox(mode)
    transport._sender.send(record)
    assert transport.flush(BOUND_S) == 0
    cluster.unavailable = True
    transport._sender.send(record)
    transport.cleanup()
    cluster.unavailable = False
    open_outbox(mode).flush(BOUND_S)
    assert [(one.key, one.value, one.headers) for one in cluster.records("t")] == [
        (None, b"v", headers)
    ] * 2
