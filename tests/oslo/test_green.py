# SPDX-License-Identifier: Apache-2.0
"""A process that eventlet has patched: no call of ours keeps its other green threads waiting."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Kafka
from tests.oslo.conftest import url_of
from tests.scenarios.processes import Process
from tests.scenarios.topics import BareClient

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(
        importlib.util.find_spec("eventlet") is None, reason="eventlet is not installed"
    ),
]

WORKERS = Path(__file__).parent / "workers"
NOWHERE = "kafka-notify://127.0.0.1:1/"
END_S = 120.0
TICK_MS = 5

Start = Callable[..., Process]


def went_on(process: Process, what: str) -> list[int]:
    """Return how many ms it took, each time it was done; see that another green thread went on.

    It ticks every 5 ms. On a busy machine it may be late, but a hub that is blocked gives it
    one turn, if any.
    """
    lines = [line.split() for line in process.lines(f"{what} ")]
    for turns, took_ms in lines:
        assert int(turns) >= int(took_ms) / TICK_MS / 8, f"{what}: {turns} in {took_ms} ms"
    return [int(took_ms) for _, took_ms in lines]


def test_other_green_threads_go_on(kafka: Kafka, start: Start, unique: str) -> None:
    """While a listener starts, polls and stops; while a send, or a cleanup, waits for nobody."""
    options = {"consumer_group": unique, "client_options": "debug:cgrp"}  # that logs a lot
    url = url_of(kafka, vhost=unique, **options)
    process = start("-W", "ignore", WORKERS / "green.py", url, NOWHERE)
    assert process.end(END_S) == 0, process.log
    assert process.lines("got ") == ["300"]
    for what in ("start", "send", "idle", "confirm", "report", "stop"):
        assert len(went_on(process, what)) == 1, what


@pytest.mark.parametrize("how", ["requeue", "raise"])
def test_what_is_requeued_comes_again(how: str, kafka: Kafka, start: Start, unique: str) -> None:
    """Before the next of its publisher; neither others nor other green threads wait meanwhile."""
    process = start("-W", "ignore", WORKERS / "green_listener.py", how, url_of(kafka), unique)
    assert process.end(END_S) == 0, process.log
    got = process.lines("got ")
    assert [one for one in got if one.startswith("a ")] == [*["a again"] * 4, "a behind"]
    assert "b beside" in got[:4]
    [took_ms] = went_on(process, "requeued")
    assert took_ms >= 700  # it waits 0.1, 0.2 and 0.4 s


@pytest.mark.parametrize("first", ["transport", "server"])
def test_cleanup_before_stop(
    first: str, kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """A transport may be cleaned up below a listener: both end in time, with all that it took."""
    process = start("-W", "ignore", WORKERS / "green_listener.py", first, url_of(kafka), unique)
    assert process.end(END_S) == 0, process.log
    got = process.lines("got ")
    assert got == [f"a {number}" for number in range(len(got))]
    assert len(got) == 20 - bare.lag(unique, f"{unique}.info")
    [took_ms] = went_on(process, "ended")
    assert took_ms < 20_000
    assert "ERROR" not in process.log


def test_a_green_thread_writes_what_real_ones_log(kafka: Kafka, start: Start, unique: str) -> None:
    """All of it, once, in each thread's order, and never in a thread that is not the hub's."""
    options = {"consumer_group": unique, "client_options": "debug:all"}
    url = url_of(kafka, **options)
    process = start("-W", "ignore", WORKERS / "green_log.py", url, unique)
    assert process.end(END_S) == 0, process.log
    assert int(process.lines("client ")[0]) >= 100
    assert process.lines("own ") == ["800"]
    for what in ("elsewhere", "missing", "twice", "disordered"):
        assert process.lines(f"{what} ") == ["0"], what
    assert "the last words" in process.log  # after the last turn of any green thread


def test_fork(kafka: Kafka, bare: BareClient, start: Start, unique: str) -> None:
    """Workers forked by a launcher that sends and listens: all of them send, listen, log, end."""
    topic, heard = f"{unique}-sent", f"{unique}-heard"
    url = url_of(kafka, client_options="debug:cgrp")
    launcher = start("-W", "ignore", WORKERS / "green_launcher.py", url, topic, heard)
    workers = sorted(launcher.wait_for_lines("worker ", 2))
    bare.send_payloads(f"{heard}.info", range(20))
    launcher.wait_for_lines("got ", 20)
    launcher.tell("stop the workers")
    expected = ["before the fork", "after the fork", "after the workers"]
    expected += [f"{what} in {pid}" for what in ("started", "stopped") for pid in workers]
    launcher.wait_for_lines("heard ", len(expected))
    launcher.tell("end")
    assert launcher.end() == 0, launcher.log
    assert launcher.lines("ended ") == ["0", "0"]
    assert sorted(map(int, launcher.lines("got "))) == list(range(20))
    assert sorted(launcher.lines("heard ")) == sorted(expected)
    assert sorted(bare.payloads(f"{topic}.info")) == sorted(expected)
    assert len(went_on(launcher, "start")) == len(went_on(launcher, "end")) == 2
    for pid in workers:
        assert f"{pid} kafka_notify.librdkafka" in launcher.log
