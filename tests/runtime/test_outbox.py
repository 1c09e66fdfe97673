# SPDX-License-Identifier: Apache-2.0
"""The outbox of a transport: what goes there and when, what it tells, and what it refuses."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import kafka_notify
from kafka_notify.core.events import (
    DeliveryFailed,
    OutboxAdopted,
    OutboxKept,
    OutboxProblem,
    OutboxSalvaged,
    OutboxSpooling,
    OutboxStraight,
    RecordsUnsent,
)
from kafka_notify.drivers.memory_cluster import MemoryCluster
from kafka_notify.errors import (
    ClosedError,
    ConfigurationError,
    DeliveryRefused,
    OutboxError,
    OutboxFull,
)
from kafka_notify.runtime.outbox import pump
from kafka_notify.runtime.outbox.store import PAGE_BYTES
from kafka_notify.runtime.outgoing import Outgoing
from tests.waiting import eventually

BOUND_S = 10.0
TOPIC = "notifications.info"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the outbox lose its patience quickly."""
    monkeypatch.setattr(pump, "_LATE_S", 0.1)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def open_outbox(connect: Callable[..., Any], spool: Path) -> Callable[..., Any]:
    """Return a function that makes a transport with an outbox."""

    def make(mode: str, query: str = "", **arguments: Any) -> Any:
        query = query and f"&{query}"
        return connect(f"outbox={mode}&spool_dir={spool}&close_timeout=0.1{query}", **arguments)

    return make


def send(transport: Any, payloads: Any, publisher: str = "p") -> None:
    notifier = kafka_notify.Notifier(transport, publisher)
    for payload in payloads:
        notifier.info({}, "e", payload)


def arrived(cluster: MemoryCluster, topic: str = TOPIC) -> list[Any]:
    """Return the payloads in a topic."""
    values = [record.value or b"" for record in cluster.records(topic)]
    return [json.loads(json.loads(value)["oslo.message"])["payload"] for value in values]


def events(transport: Any, kind: type) -> list[Any]:
    return [event for event in transport.events if isinstance(event, kind)]


def files(spool: Path, end: str = ".sqlite3") -> list[Path]:
    return sorted(path for path in spool.glob("*/*") if path.name.endswith(end))


MODES = pytest.mark.parametrize("mode", ["always", "on_failure"])


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
        send(transport, range(first + 100, first + 150))
        assert transport.stats()["outbox_records"] >= 100
        cluster.unavailable = False
        assert transport.flush(BOUND_S) == 0
        if mode == "on_failure":
            eventually(
                lambda count=first // 200 + 1: len(events(transport, OutboxStraight)) == count,
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
    assert stats["spooled"] == 400 if mode == "always" else 200 <= stats["spooled"] < 400


def test_nothing_touches_the_disk_while_all_is_well(open_outbox, cluster, spool):
    """on_failure: no file is made before something fails."""
    transport = open_outbox("on_failure")
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
    living = open_outbox("on_failure")
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
    transport = open_outbox("on_failure", "delivery=confirm")
    for number in range(20):
        send(transport, [number])
        assert arrived(cluster) == list(range(number + 1))
    assert transport.stats()["spooled"] == 0


def test_confirm_raises_what_kafka_refuses(open_outbox, cluster):
    """on_failure: a refused record is nothing that the outbox could help."""
    cluster.refuse(TOPIC, DeliveryRefused("no such luck"))
    transport = open_outbox("on_failure", "delivery=confirm")
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


# --- bounds


@MODES
def test_a_full_outbox_says_so_and_keeps_what_it_has(mode, open_outbox, cluster, spool):
    """OutboxFull within send_block_timeout, with file, cause and message_id; then it goes on."""
    cluster.unavailable = True
    transport = open_outbox(
        mode, "outbox_max_bytes=200000&send_block_timeout=0.2&send_buffer_bytes=20000"
    )
    accepted = []
    with suppress(OutboxFull):
        for number in range(1000):
            send(transport, [[number, "x" * 500]])
            accepted.append(number)
    before = time.monotonic()
    with pytest.raises(OutboxFull, match=r"notification .*sqlite3.*outbox_max_bytes") as caught:
        send(transport, [[len(accepted), "x" * 500]])
    assert 0.2 <= time.monotonic() - before < BOUND_S
    assert caught.value.message_id
    assert len(accepted) > 50
    assert sum(path.stat().st_size for path in files(spool, "")) <= 200_000 + 10 * PAGE_BYTES
    cluster.unavailable = False
    assert transport.flush(BOUND_S) == 0
    send(transport, [[len(accepted), ""]])
    assert transport.flush(BOUND_S) == 0
    assert [payload[0] for payload in arrived(cluster)] == [*accepted, len(accepted)]


def test_a_send_waits_for_room(open_outbox, cluster):
    """The broker comes back while a send waits in front of a full outbox: it is taken."""
    cluster.unavailable = True
    transport = open_outbox("always", "outbox_max_bytes=65536&send_block_timeout=10")
    for number in range(1000):
        sending = threading.Thread(target=send, args=(transport, [[number, "x" * 500]]))
        sending.start()
        sending.join(0.5)
        if sending.is_alive():
            break
    cluster.unavailable = False
    sending.join(BOUND_S)
    assert transport.flush(BOUND_S) == 0
    assert [payload[0] for payload in arrived(cluster)] == list(range(number + 1))


def test_a_full_buffer_goes_to_the_outbox(open_outbox, cluster):
    """on_failure: nobody waits and nothing raises when send_buffer_records are under way."""
    cluster.unavailable = True
    transport = open_outbox("on_failure", "send_buffer_records=10&send_block_timeout=0")
    began = time.monotonic()
    send(transport, range(1000))
    assert time.monotonic() - began < BOUND_S
    [spooling] = eventually(lambda: events(transport, OutboxSpooling), BOUND_S, "the event")
    assert "buffer is full" in spooling.reason
    cluster.unavailable = False
    assert transport.flush(BOUND_S) == 0
    assert arrived(cluster) == list(range(1000))


@pytest.mark.parametrize("made", ["a file", "a folder that is a file"])
def test_a_folder_that_cannot_be_used_is_told_at_once(made, connect, spool):
    """Making the transport raises OutboxError, which says what to do."""
    spool.write_text("")
    below = "" if made == "a file" else "/below"
    with pytest.raises(OutboxError, match="spool_dir"):
        connect(f"outbox=always&spool_dir={spool}{below}")


def test_a_folder_that_goes_away_is_told_by_the_send(open_outbox, cluster, spool):
    """The first send makes the file, or raises."""
    transport = open_outbox("always")
    [folder] = spool.iterdir()
    folder.rmdir()
    spool.rmdir()
    spool.write_text("")
    with pytest.raises(OutboxError, match=str(spool)):
        send(transport, [1])
    spool.unlink()
    send(transport, [2])
    assert transport.flush(BOUND_S) == 0
    assert arrived(cluster) == [2]


def test_what_can_neither_be_sent_nor_stored_is_told(open_outbox, cluster, spool, caplog):
    """on_failure, no broker and no disk: at the end each is an error, as without an outbox."""
    cluster.unavailable = True
    transport = open_outbox("on_failure")
    [folder] = spool.iterdir()
    folder.rmdir()
    spool.rmdir()
    spool.write_text("")
    send(transport, range(3))
    eventually(lambda: events(transport, OutboxProblem), BOUND_S, "an error of the disk")
    transport.cleanup()
    assert [event.count for event in events(transport, RecordsUnsent)] == [3]
    assert caplog.text.count("was not delivered") == 3
    assert str(spool) in caplog.text


# --- damage


def damaged(spool: Path, *, at: int = 3) -> Path:
    """Overwrite a page of the one file there is."""
    [file] = files(spool)
    with file.open("r+b") as opened:
        opened.seek(at * PAGE_BYTES)
        opened.write(b"\xff" * PAGE_BYTES)
    return file


def test_the_good_part_of_a_damaged_file_is_sent(open_outbox, cluster, spool, caplog):
    """In order; the damaged file is kept, and an error counts both parts."""
    cluster.unavailable = True
    transport = open_outbox("always")
    send(transport, [[number, "x" * 1000] for number in range(100)])
    transport.cleanup()
    file = damaged(spool)
    cluster.unavailable = False
    following = open_outbox("always")
    send(following, [[100, ""]])
    assert following.flush(BOUND_S) == 0
    numbers = [payload[0] for payload in arrived(cluster)]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 100
    assert 85 <= len(numbers) < 101
    [salvaged] = events(following, OutboxSalvaged)
    assert (salvaged.saved, salvaged.lost) == (len(numbers) - 1, 101 - len(numbers))
    assert salvaged.aside == f"{file}.corrupt"
    assert Path(salvaged.aside).exists()
    assert f"{salvaged.saved} notifications of it could be read" in caplog.text
    following.cleanup()
    assert files(spool, "") == [Path(salvaged.aside)]


def test_a_file_that_is_none_is_put_aside(open_outbox, cluster, spool):
    """It keeps nobody from sending."""
    transport = open_outbox("always")
    [folder] = spool.iterdir()
    (folder / "20260101T000000.000000-1-abc.sqlite3").write_bytes(os.urandom(50_000))
    transport.cleanup()
    following = open_outbox("on_failure")
    send(following, range(10))
    assert following.flush(BOUND_S) == 0
    assert arrived(cluster) == list(range(10))
    [salvaged] = events(following, OutboxSalvaged)
    assert salvaged.saved == 0
    following.cleanup()
    assert [path.name for path in files(spool, "")] == [
        "20260101T000000.000000-1-abc.sqlite3.corrupt"
    ]


def test_damage_while_it_is_used_costs_what_is_damaged(open_outbox, cluster, spool, monkeypatch):
    """The file is overwritten under a process that sends: it goes on in another."""
    cluster.unavailable = True
    transport = open_outbox("always")
    first = 5000
    send(transport, [[number, "x" * 1000] for number in range(first)])
    # What sqlite3 has in its cache hides the damage, so it has to be a good part.
    transport._sender._outbox._files.own()._store.write_back()
    [file] = files(spool)
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(size * 9 // 10 // PAGE_BYTES * PAGE_BYTES)
        opened.write(b"\xff" * (size // 20))
    cluster.unavailable = False
    send(transport, [[number, ""] for number in range(first, first + 100)])
    assert transport.flush(2 * BOUND_S) == 0
    numbers = [payload[0] for payload in arrived(cluster)]
    assert numbers == sorted(set(numbers))
    assert numbers[-100:] == list(range(first, first + 100))
    assert first * 9 // 10 <= len(numbers) < first + 100
    assert len(events(transport, OutboxSalvaged)) == 1


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
def test_threads_that_send_at_full_speed_are_kept_up_with(mode, open_outbox, cluster):
    """An outage ends while they send: the outbox gets empty all the same."""
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
        eventually(lambda: transport.stats()["outbox_records"] > 8000, 30, "a backlog")
        cluster.unavailable = False
        eventually(lambda: transport.stats()["outbox_records"] < 6000, 30, "an end of it")
        if mode == "on_failure":
            eventually(lambda: events(transport, OutboxStraight), 30, "sends go straight")
    finally:
        enough.set()
        for thread in threads:
            thread.join(BOUND_S)
    assert transport.flush(30) == 0
    assert transport.stats()["sent"] == len(arrived(cluster))


@MODES
def test_a_record_keeps_its_headers(mode, open_outbox, cluster):
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
