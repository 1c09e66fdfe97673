# SPDX-License-Identifier: Apache-2.0
"""An outbox through oslo.messaging: one option of the URL, with eventlet and without."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kafka_notify.broker import Cluster
from tests.conftest import Kafka
from tests.oslo.conftest import url_of
from tests.oslo.test_green import went_on
from tests.scenarios.processes import Process
from tests.scenarios.recorder import Recorder

oslo_messaging = pytest.importorskip("oslo_messaging")
pytestmark = pytest.mark.functional

WORKERS = Path(__file__).parent / "workers"
COUNT = 500
COME_S = 60.0
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


@pytest.mark.parametrize("delivery", ["report", "confirm"])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_service_that_is_killed_during_an_outage(
    executor: str,
    delivery: str,
    connect: Callable[..., Any],
    listen: Callable[..., Any],
    brisk: Kafka,
    brisk_cluster: Cluster,
    start: Start,
    tmp_path: Path,
    unique: str,
) -> None:
    """always: info() returns, and the next process sends it all, in order, to a listener."""
    recorder = Recorder()
    listen(connect(url_of(brisk)), unique, recorder)
    url = url_of(
        brisk, outbox="always", spool_dir=tmp_path / "spool", delivery=delivery, close_timeout=60
    )
    program = ("-W", "ignore", WORKERS / "outbox.py", executor, url, unique)
    brisk_cluster.stop(0)
    try:
        process = start(*program, 0, COUNT)
        process.wait_for_lines("send ")
        went_on(process, "send")
        process.tell("kill")
        process.end()
    finally:
        brisk_cluster.start(0)
    following = start(*program, COUNT, 100)
    following.wait_for_lines("send ")
    following.tell("end")
    assert following.end(COME_S) == 0, following.log
    recorder.wait(COUNT + 100, COME_S)
    assert recorder.payloads == list(range(COUNT + 100))
    assert list((tmp_path / "spool").glob("*/*")) == []


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_service_that_outlives_an_outage(
    executor: str,
    connect: Callable[..., Any],
    listen: Callable[..., Any],
    brisk: Kafka,
    brisk_cluster: Cluster,
    start: Start,
    tmp_path: Path,
    unique: str,
) -> None:
    """outbox=on_failure: what is sent meanwhile comes once the broker is back, in order."""
    recorder = Recorder()
    listen(connect(url_of(brisk)), unique, recorder)
    url = url_of(brisk, outbox="on_failure", spool_dir=tmp_path / "spool", close_timeout=60)
    brisk_cluster.stop(0)
    try:
        process = start("-W", "ignore", WORKERS / "outbox.py", executor, url, unique, 0, COUNT)
        process.wait_for_lines("send ")
        went_on(process, "send")
        process.wait_for_log("notifications go to the outbox")
    finally:
        brisk_cluster.start(0)
    process.wait_for_log("Sends get through again", COME_S)
    process.tell("end")
    assert process.end(COME_S) == 0, process.log
    recorder.wait(COUNT, COME_S)
    assert recorder.payloads == list(range(COUNT))


def test_a_folder_that_cannot_be_used(connect: Callable[..., Any], tmp_path: Path) -> None:
    """Loading the driver fails, and says what to do."""
    (tmp_path / "spool").write_text("")
    with pytest.raises(oslo_messaging.DriverLoadFailure, match="spool_dir"):
        connect(f"kafka-notify://127.0.0.1:1/?outbox=always&spool_dir={tmp_path}/spool")
