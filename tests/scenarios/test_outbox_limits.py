# SPDX-License-Identifier: Apache-2.0
"""What the outbox cannot take, or Kafka refuses, is told, bounded, and costs only itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from kafka_notify.broker import Cluster
from tests.conftest import Kafka
from tests.scenarios.conftest import PASSWORD, USER
from tests.scenarios.outboxes import Log, Start, files
from tests.scenarios.processes import WORKERS
from tests.scenarios.topics import BareClient

pytestmark = pytest.mark.functional

AWAY_S = 1700.0  # a loaded machine takes its time for 200,000
SQLITE_BYTES = 16_777_216  # its cache, and what the client has in hand


@pytest.mark.parametrize("outbox", ["always", "on_failure"])
def test_records_that_kafka_refuses_cost_only_themselves(
    outbox: str, kafka: Kafka, bare: BareClient, start: Start, spool: Path, unique: str
) -> None:
    """Too large for their topic, amid small ones in one request: the others come in order."""
    bare.create(f"{unique}.info", max_message_bytes="20000")
    program = """
import logging, sys
import kafka_notify
logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
failed = []
transport = kafka_notify.get_notification_transport(
    url=sys.argv[1], on_delivery=lambda report: report.error and failed.append(report.message_id))
notifier = kafka_notify.Notifier(transport, topics=[sys.argv[2]])
publishers = [notifier.prepare(publisher_id=f"p{number}") for number in range(4)]
for number in range(1000):
    for publisher in publishers:
        publisher.info({}, "outbox", number)
    if number % 100 == 50:
        publishers[0].info({}, "outbox", "x" * 30_000)
print("left", transport.flush(60))
print("failed", len(failed), len(set(failed)))
"""
    url = kafka.url(outbox=outbox, spool_dir=spool)
    process = start("-c", program, url, unique)
    assert process.end() == 0, process.log
    assert process.lines("left ") == ["0"]
    assert process.lines("failed ") == ["10 10"]
    log = Log(bare, f"{unique}.info")
    assert {one: log.first_copies(one) for one in log.sent} == {
        f"p{one}": list(range(1000)) for one in range(4)
    }
    assert process.log.count("ERROR Notification ") == 10
    assert files(spool) == []


REFUSED = """
import logging, sys
import kafka_notify
logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
failed, raised = [], 0
transport = kafka_notify.get_notification_transport(
    url=sys.argv[1], on_delivery=lambda report: report.error and failed.append(report.error))
allowed, forbidden = (kafka_notify.Notifier(transport, "p0", topics=[one]) for one in sys.argv[2:])
for number in range(300):
    allowed.info({}, "outbox", number)
    if number % 100 == 50:
        try:
            forbidden.info({}, "outbox", number)
        except kafka_notify.errors.DeliveryRefused as error:  # the client knows it by now
            failed.append(error)
            raised += 1
print("left", transport.flush(60))
print("raised", raised)
print("failed", *(f"{type(one).__name__} {one.topic}" for one in failed))
"""


@pytest.mark.parametrize("outbox", ["always", "on_failure"])
def test_a_topic_that_is_forbidden_costs_only_its_own(
    outbox: str,
    brisk_cluster: Cluster,
    bare_brisk: BareClient,
    start: Start,
    spool: Path,
    unique: str,
) -> None:
    """No permission to write there: each is logged and told; what goes elsewhere comes."""
    forbidden = f"{unique}-forbidden"
    for topic in (unique, forbidden):
        bare_brisk.create(f"{topic}.info")
    bare_brisk.deny_writing(f"{forbidden}.info", USER)
    kafka = Kafka(bootstrap=f"{USER}:{quote(PASSWORD)}@{brisk_cluster.sasl_bootstrap}")
    url = kafka.url(outbox=outbox, spool_dir=spool, security_protocol="SASL_PLAINTEXT")
    process = start("-c", REFUSED, url, unique, forbidden)
    assert process.end(120) == 0, process.log
    assert process.lines("left ") == ["0"]
    assert process.lines("failed ") == [" ".join([f"DeliveryRefused {forbidden}.info"] * 3)]
    [raised] = process.lines("raised ")
    assert process.log.count("ERROR Notification ") == 3 - int(raised)
    assert "ACL" in process.log
    assert Log(bare_brisk, f"{unique}.info").first_copies("p0") == list(range(300))
    assert files(spool) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder on a disk of 2 MB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False
    ).returncode
    if mounted:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


FILLING = """
import logging, os, sys, time
import kafka_notify
from kafka_notify.errors import OutboxFull
logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
url, topic = sys.argv[1:3]
transport = kafka_notify.get_notification_transport(url=url)
notifier = kafka_notify.Notifier(transport, "p0", topics=[topic])
number = 0
def fill():
    global number
    while True:
        began = time.monotonic()
        try:
            notifier.info({}, "outbox", number)
        except OutboxFull as error:
            print("full", f"{time.monotonic() - began:.3f}", error, flush=True)
            return
        number += 1
        if number > 20000:
            sys.exit("never full")
fill()
fill()
print("kept", number, flush=True)
sys.stdin.readline()
print("left", transport.flush(60), flush=True)
notifier.info({}, "outbox", number)
print("left", transport.flush(60), flush=True)
"""


@pytest.mark.parametrize("outbox", ["always", "on_failure"])
def test_a_full_disk_is_named_and_costs_nothing_that_was_taken(
    outbox: str,
    brisk: Kafka,
    brisk_cluster: Cluster,
    bare_brisk: BareClient,
    start: Start,
    small_disk: Path,
    unique: str,
) -> None:
    """The send that finds no room raises OutboxFull; all before it, and one after it, arrive."""
    bare_brisk.create(f"{unique}.info")
    url = brisk.url(
        outbox=outbox, spool_dir=small_disk / "spool", send_block_timeout=1, send_buffer_bytes=2048
    )
    brisk_cluster.stop(0)
    try:
        process = start("-c", FILLING, url, unique)
        [kept] = process.wait_for_lines("kept ")
    finally:
        brisk_cluster.start(0)
    full = process.lines("full ")
    for line in full:
        took, _, text = line.partition(" ")
        assert float(took) < 5
        assert f"{small_disk}/spool" in text
        assert "bytes of the disk are free" in text
    process.tell("go on")
    assert process.end() == 0, process.log
    assert process.lines("left ") == ["0", "0"]
    log = Log(bare_brisk, f"{unique}.info")
    assert log.first_copies("p0") == list(range(int(kept) + 1))
    assert files(small_disk / "spool") == []


def sends_while_nobody_is_there(start: Start, *arguments: object) -> dict[str, Any]:
    """Return what a process says that sends so many notifications."""
    process = start(WORKERS / "away.py", *arguments)
    assert process.end(AWAY_S) == 0, process.log
    said: dict[str, Any] = {}
    for line in process.lines("{"):
        said |= json.loads("{" + line)
    return said


@pytest.mark.parametrize("delivery", ["report", "confirm"])
@pytest.mark.parametrize("outbox", ["always", "on_failure"])
def test_an_outage_costs_no_memory(
    outbox: str, delivery: str, start: Start, spool: Path, unique: str
) -> None:
    """100 MB are sent: a buffer's bytes stay in memory, all is in the outbox, nobody waits."""
    buffer_bytes = 16_777_216
    url = (
        f"kafka://127.0.0.1:1/?outbox={outbox}&delivery={delivery}&spool_dir={spool}"
        f"&send_buffer_bytes={buffer_bytes}&close_timeout=0"
    )
    said = sends_while_nobody_is_there(start, url, 20_000, 5000)
    assert said["refused"] == {}
    assert said["in_outbox"] == said["sent"] == 20_000
    assert said["grown_bytes"] < buffer_bytes + SQLITE_BYTES
    assert said["longest_s"] < 10  # send_block_timeout
    assert said["failed"] == 0


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("outbox", ["always", "on_failure"])
def test_an_outage_of_200_000_sends(outbox: str, start: Start, spool: Path, unique: str) -> None:
    """The same with the options' defaults."""
    url = f"kafka://127.0.0.1:1/?outbox={outbox}&spool_dir={spool}&close_timeout=0"
    said = sends_while_nobody_is_there(start, url, 200_000, 500)
    assert said["refused"] == {}
    assert said["in_outbox"] == said["sent"] == 200_000
    assert said["grown_bytes"] < 67_108_864 + SQLITE_BYTES
    assert said["longest_s"] < 10
    assert said["failed"] == 0


def test_an_outage_without_an_outbox_is_not_silent(start: Start, unique: str) -> None:
    """Each of 20,000 raises SendBufferFull, or is told to have failed at the end."""
    url = "kafka://127.0.0.1:1/?outbox=off&send_buffer_records=1000&close_timeout=0"
    said = sends_while_nobody_is_there(start, f"{url}&send_block_timeout=0", 20_000, 500)
    assert said["refused"] == {"SendBufferFull": 19_000}
    assert said["sent"] == said["failed"] == 1000
    said = sends_while_nobody_is_there(start, f"{url}&send_block_timeout=0.2", 1003, 500)
    assert said["refused"] == {"SendBufferFull": 3}
    assert said["longest_s"] >= 0.2
