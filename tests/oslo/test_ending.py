# SPDX-License-Identifier: Apache-2.0
"""How listeners and processes end through oslo.messaging: in any order, bounded, without loss."""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Kafka
from tests.oslo.conftest import url_of
from tests.scenarios.processes import Process
from tests.scenarios.recorder import Recorder
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

oslo_messaging = pytest.importorskip("oslo_messaging")
pytestmark = pytest.mark.functional

WORKERS = Path(__file__).parent / "workers"
COME_S = 30.0
Connect = Callable[..., Any]
Listen = Callable[..., Any]
Start = Callable[..., Process]

EXECUTORS = [
    "threading",
    pytest.param(
        "eventlet",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("eventlet") is None, reason="eventlet is not installed"
        ),
    ),
]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_process_that_does_not_stop_its_listener(
    executor: str, kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """At its end it dispatches what it has committed, and takes no more."""
    topic = f"{unique}.info"
    bare.create(topic)
    bare.send_payloads(topic, range(500))
    url = url_of(kafka, group_start="beginning", dispatch_window=60)
    process = start("-W", "ignore", WORKERS / "ending.py", url, unique, unique, executor)
    process.wait_for_lines("got ", 20)
    process.tell("end")
    assert process.end() == 0, process.log
    dispatched = process.lines("got ")
    assert len(dispatched) == len(set(dispatched))
    assert len(dispatched) == 500 - bare.lag(unique, topic)
    assert 20 <= len(dispatched) < 500
    assert "ERROR" not in process.log


def test_an_endpoint_stops_its_own_listener(
    connect: Connect,
    kafka: Kafka,
    listen: Listen,
    unique: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """stop() returns at once there; what is committed is dispatched all the same."""
    transport = connect(url_of(kafka))
    took_s: list[float] = []
    servers: list[Any] = []

    def stop(payload: Any) -> None:
        if payload == 0:
            began = time.monotonic()
            servers[0].stop()
            took_s.append(time.monotonic() - began)

    recorder = Recorder(on_call=stop)
    servers.append(listen(transport, unique, recorder))
    notifier = oslo_messaging.Notifier(transport, "p", driver="messagingv2", topics=[unique])
    notifier.info({}, "event", 0)
    recorder.wait(1, COME_S)
    [once] = took_s
    assert once < 5
    servers[0].wait()
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.mark.parametrize("first", ["transport", "server"])
def test_cleanup_before_stop(
    first: str, connect: Connect, kafka: Kafka, listen: Listen, unique: str
) -> None:
    """A transport may be cleaned up below a listener: both end, in either order."""
    transport = connect(url_of(kafka))
    recorder = Recorder(on_call=lambda _payload: threading.Event().wait(0.05))
    server = listen(transport, unique, recorder)
    notifier = oslo_messaging.Notifier(transport, "p", driver="messagingv2", topics=[unique])
    for number in range(20):
        notifier.info({}, "event", number)
    recorder.wait(1)
    ends: list[Callable[[], None]] = [transport.cleanup, server.stop, server.wait]
    if first == "server":
        ends = [server.stop, transport.cleanup, server.wait]
    began = time.monotonic()
    for end in ends:
        end()
    assert time.monotonic() - began < 20
    assert recorder.payloads == list(range(len(recorder.payloads)))


def test_an_endpoint_that_hangs(
    connect: Connect,
    kafka: Kafka,
    listen: Listen,
    unique: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """cleanup() waits for it as long as drain_timeout says, and names what it leaves."""
    transport = connect(url_of(kafka, drain_timeout=1))
    go_on = threading.Event()
    entered = threading.Event()

    def hang(_payload: Any) -> None:
        entered.set()
        go_on.wait(COME_S)

    listen(transport, unique, Recorder(on_call=hang))
    notifier = oslo_messaging.Notifier(transport, "p", driver="messagingv2", topics=[unique])
    notifier.info({}, "event", 0)
    assert entered.wait(COME_S)
    try:
        began = time.monotonic()
        transport.cleanup()
        took_s = time.monotonic() - began
    finally:
        go_on.set()
    assert 1 <= took_s < 12
    assert "endpoints still hold 1 notifications" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_endpoint_that_ends_its_thread(
    connect: Connect,
    kafka: Kafka,
    listen: Listen,
    unique: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """oslo.messaging settles nothing then; the next of its key comes when the thread is used."""

    class Endpoint:
        def __init__(self) -> None:
            self.got: list[Any] = []

        def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> None:
            self.got.append(payload)
            if payload == "the end":
                raise SystemExit

    transport = connect(url_of(kafka))
    endpoint = Endpoint()
    listen(transport, unique, endpoint)
    notifier = oslo_messaging.Notifier(transport, "p", driver="messagingv2", topics=[unique])
    for payload in ("the end", "and on"):
        notifier.info({}, "event", payload)

    def goes_on() -> bool:
        notifier.prepare(publisher_id="other").info({}, "event", "beside")
        return "and on" in endpoint.got

    eventually(goes_on, COME_S, "the next")
    assert "was given up in its endpoint" in caplog.text
