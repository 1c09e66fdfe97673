# SPDX-License-Identifier: Apache-2.0
"""The outbox when the disk is at fault: full, damaged, not to be written to; all is told."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kafka_notify.core.events import (
    OutboxProblem,
    OutboxSalvaged,
    OutboxSpooling,
    OutboxStraight,
    RecordsUnsent,
)
from kafka_notify.errors import (
    OutboxError,
    OutboxFull,
)
from kafka_notify.runtime.outbox.store import PAGE_BYTES
from tests.runtime.outboxes import BOUND_S, MODES, arrived, events, files, send
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
