# SPDX-License-Identifier: Apache-2.0
"""What the outbox has taken arrives, in order per key: across outages, kills, restarts, forks."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from kafka_notify.broker import Cluster
from tests.conftest import Kafka
from tests.scenarios.outboxes import (
    DELIVERED_S,
    Log,
    Start,
    accepted,
    drain,
    end,
    files,
    more,
    said,
)
from tests.scenarios.processes import WORKERS
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

pytestmark = pytest.mark.functional

PUBLISHERS = 4
LATER = 1_000_000  # where the numbers of a second process begin


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_loses_nothing(
    seed: int, kafka: Kafka, bare: BareClient, start: Start, spool: Path, unique: str
) -> None:
    """always, kill -9 amid sends, with the broker there: the next process sends what is left."""
    bare.create(f"{unique}.info")
    url = kafka.url(outbox="always", spool_dir=spool)
    process = start(WORKERS / "outbox.py", url, unique, PUBLISHERS, 0)
    process.wait_for_lines("sent ", random.Random(seed).randint(1, 4000))  # noqa: S311
    process.signal(signal.SIGKILL)
    process.end()
    end(drain(start, url, unique))
    log = Log(bare, f"{unique}.info")
    log.check(accepted(process))
    assert files(spool) == []


def test_a_kill_during_an_outage_loses_nothing(
    brisk: Kafka,
    brisk_cluster: Cluster,
    bare_brisk: BareClient,
    start: Start,
    spool: Path,
    unique: str,
) -> None:
    """always, no broker, two processes killed one after the other: all comes, in order."""
    bare_brisk.create(f"{unique}.info")
    url = brisk.url(outbox="always", spool_dir=spool)
    brisk_cluster.stop(0)
    try:
        last = []
        for first in (0, LATER):
            process = start(WORKERS / "outbox.py", url, unique, 1, first)
            process.wait_for_lines("sent ", 1000)
            process.signal(signal.SIGKILL)
            process.end()
            last.append(accepted(process)["p0"])
    finally:
        brisk_cluster.start(0)
    end(drain(start, url, unique))
    numbers = Log(bare_brisk, f"{unique}.info").sent["p0"]
    earlier = [number for number in numbers if number < LATER]
    later = numbers[len(earlier) :]
    # One more may have been stored when a process was killed before info() returned.
    assert earlier == list(range(len(earlier)))
    assert later == list(range(LATER, LATER + len(later)))
    assert last[0] < len(earlier) <= last[0] + 2
    assert last[1] - LATER < len(later) <= last[1] - LATER + 2
    assert files(spool) == []


def test_an_outage_loses_nothing(
    brisk: Kafka,
    brisk_cluster: Cluster,
    bare_brisk: BareClient,
    start: Start,
    spool: Path,
    unique: str,
) -> None:
    """on_failure: what is sent while the broker is stopped or killed arrives once, in order."""
    bare_brisk.create(f"{unique}.info")
    url = brisk.url(outbox="on_failure", spool_dir=spool)
    process = start(WORKERS / "outbox.py", url, unique, PUBLISHERS, 0)
    for number, end_broker in enumerate((brisk_cluster.stop, brisk_cluster.kill), 1):
        more(process, 1000)
        end_broker(0)
        said(process, "Sends do not get through", number)
        more(process, 5000)
        brisk_cluster.start(0)
        said(process, "Sends get through again", number)
    more(process, 1000)
    process.tell("stop")
    process.wait_for_lines("stopped")
    process.tell("flush 60")
    assert process.wait_for_lines("left ") == ["0"]
    end(process)
    assert files(spool) == []
    log = Log(bare_brisk, f"{unique}.info")
    log.check(accepted(process))
    assert log.copies == 0


def test_leaving_during_an_outage_keeps_the_rest(
    brisk: Kafka,
    brisk_cluster: Cluster,
    bare_brisk: BareClient,
    start: Start,
    spool: Path,
    unique: str,
) -> None:
    """on_failure, the process ends while the broker is away: it says how many wait, and where."""
    bare_brisk.create(f"{unique}.info")
    url = brisk.url(outbox="on_failure", spool_dir=spool, close_timeout=1)
    brisk_cluster.stop(0)
    try:
        process = start(WORKERS / "outbox.py", url, unique, 1, 0)
        more(process, 500)
        end(process)
    finally:
        brisk_cluster.start(0)
    last = accepted(process)["p0"]
    said(process, f"WARNING {last + 1} notifications wait in the outbox, {spool}")
    assert "ERROR" not in process.log.replace("ERROR Kafka at", "")
    end(drain(start, url, unique))
    log = Log(bare_brisk, f"{unique}.info")
    assert log.sent == {"p0": list(range(last + 1))}
    assert files(spool) == []


def test_confirmed_sends_return_during_an_outage(
    brisk: Kafka,
    brisk_cluster: Cluster,
    bare_brisk: BareClient,
    start: Start,
    spool: Path,
    unique: str,
) -> None:
    """delivery=confirm, on_failure: info() returns once its notification is stored, for ever."""
    bare_brisk.create(f"{unique}.info")
    url = brisk.url(outbox="on_failure", delivery="confirm", confirm_timeout=3, spool_dir=spool)
    process = start(WORKERS / "outbox.py", url, unique, PUBLISHERS, 0)
    more(process, 100)
    brisk_cluster.pause(0)
    try:
        more(process, 1000)
        process.signal(signal.SIGKILL)
        process.end()
    finally:
        brisk_cluster.resume(0)
    end(drain(start, url, unique))
    log = Log(bare_brisk, f"{unique}.info")
    log.check(accepted(process))


MANY = """
import sys
import kafka_notify
url, topic, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
transports = [kafka_notify.get_notification_transport(url=url) for _ in range(count)]
for number, transport in enumerate(transports, first):
    sender = kafka_notify.Notifier(transport, f"p{number}", topics=[topic])
    for payload in range(200):
        sender.info({}, "outbox", payload)
print("sent", flush=True)
sys.stdin.readline()
"""


def test_adopting_at_once_sends_each_file_once(
    brisk: Kafka,
    brisk_cluster: Cluster,
    bare_brisk: BareClient,
    start: Start,
    spool: Path,
    unique: str,
) -> None:
    """Twenty files were abandoned, three processes start side by side: nothing comes twice."""
    bare_brisk.create(f"{unique}.info")
    url = brisk.url(outbox="always", spool_dir=spool)
    brisk_cluster.stop(0)
    try:
        process = start("-c", MANY, url, unique, 0, 20)
        process.wait_for_lines("sent")
        process.signal(signal.SIGKILL)
        process.end()
    finally:
        brisk_cluster.start(0)
    adopters = [start(WORKERS / "outbox.py", url, unique, 0, 0) for _ in range(3)]

    def sent() -> bool:
        return not files(spool)

    eventually(sent, DELIVERED_S, "an empty outbox")
    for adopter in adopters:
        end(adopter)
    log = Log(bare_brisk, f"{unique}.info")
    assert log.sent == {f"p{number}": list(range(200)) for number in range(20)}


FORKING = """
import os, signal, sys, time
import kafka_notify
url, topic = sys.argv[1:3]
transport = kafka_notify.get_notification_transport(url=url)
notifier = kafka_notify.Notifier(transport, topics=[topic])
def send(publisher, first, transport=transport):
    mine = notifier.prepare(publisher_id=publisher)
    for number in range(first, first + 100):
        mine.info({}, "outbox", number)
def say(text):
    os.write(1, (text + "\\n").encode())
send("parent", 0)
parent = os.getpid()
if os.fork():
    send("parent", 100)
    say("parent sent")
    signal.pause()
send("child", 0)
say(f"child {os.getpid()}")
sys.stdin.readline()
while os.getppid() == parent:
    time.sleep(0.01)
# What the parent left is adopted by a transport that is made now.
another = kafka_notify.get_notification_transport(url=url)
say(f"left {another.flush(60)} {transport.flush(60)}")
sys.stdin.readline()
os._exit(0)
"""


def test_a_child_of_fork_has_a_file_of_its_own(
    brisk: Kafka,
    brisk_cluster: Cluster,
    bare_brisk: BareClient,
    start: Start,
    spool: Path,
    unique: str,
) -> None:
    """Parent and child send on after the fork, the parent is killed, the child adopts its file."""
    bare_brisk.create(f"{unique}.info")
    url = brisk.url(outbox="always", spool_dir=spool)
    brisk_cluster.stop(0)
    try:
        process = start("-c", FORKING, url, unique)
        process.wait_for_lines("parent sent")
        process.wait_for_lines("child ")
        process.signal(signal.SIGKILL)
    finally:
        brisk_cluster.start(0)
    process.tell("go on")
    assert process.wait_for_lines("left ") == ["0 0"], process.log
    log = Log(bare_brisk, f"{unique}.info")
    assert log.sent == {"parent": list(range(200)), "child": list(range(100))}
    assert files(spool) != []  # the child's own, which it keeps while it lives
    process.tell("exit")


ENDING = """
import os, signal, sys
import kafka_notify
url, topic, how = sys.argv[1:4]
if how == "exit_cleanly_on":
    kafka_notify.exit_cleanly_on()
transports = [kafka_notify.get_notification_transport(url=url) for _ in range(2)]
for publisher, transport in enumerate(transports):
    notifier = kafka_notify.Notifier(transport, f"p{publisher}", topics=[topic])
    for number in range(300):
        notifier.info({}, "outbox", number)
if how == "os._exit":
    os._exit(0)
if how == "sys.exit":
    sys.exit(0)
os.kill(os.getpid(), signal.SIGTERM)
signal.pause()
"""


@pytest.mark.parametrize(
    ("how", "code"),
    [("sys.exit", 0), ("os._exit", 0), ("SIGTERM", -15), ("exit_cleanly_on", 143)],
)
def test_however_a_process_ends(
    how: str,
    code: int,
    brisk: Kafka,
    brisk_cluster: Cluster,
    bare_brisk: BareClient,
    start: Start,
    spool: Path,
    unique: str,
) -> None:
    """always, no broker, two transports: the next process sends what both were given, once."""
    bare_brisk.create(f"{unique}.info")
    url = brisk.url(outbox="always", spool_dir=spool, close_timeout=0.5)
    brisk_cluster.stop(0)
    try:
        process = start("-c", ENDING, url, unique, how)
        assert process.end() == code, process.log
    finally:
        brisk_cluster.start(0)
    end(drain(start, url, unique))
    log = Log(bare_brisk, f"{unique}.info")
    assert log.sent == {publisher: list(range(300)) for publisher in ("p0", "p1")}
    assert files(spool) == []
