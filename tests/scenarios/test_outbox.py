# SPDX-License-Identifier: Apache-2.0
"""What the outbox has taken arrives, in order per key: across outages, kills, restarts, forks."""

from __future__ import annotations

import random
import signal
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kafka_notify.broker import Cluster
from tests.conftest import Kafka
from tests.scenarios.processes import WORKERS, Process
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

pytestmark = pytest.mark.functional

Start = Callable[..., Process]
PUBLISHERS = 4
DELIVERED_S = 60.0
LATER = 1_000_000  # where the numbers of a second process begin


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Return the folder of the outbox."""
    return tmp_path / "spool"


def files(spool: Path) -> list[str]:
    """Return the names of what is in the outbox."""
    return sorted(path.name for path in spool.glob("*/*"))


class Log:
    """What a topic holds, publisher by publisher."""

    def __init__(self, bare: BareClient, topic: str) -> None:
        self.sent: dict[str, list[int]] = defaultdict(list)
        self.message_ids: dict[tuple[str, int], set[str]] = defaultdict(set)
        for stored in bare.read(topic):
            publisher = stored.fields["publisher_id"]
            self.sent[publisher].append(stored.payload)
            self.message_ids[publisher, stored.payload].add(stored.fields["message_id"])

    def first_copies(self, publisher: str) -> list[int]:
        """Return a publisher's numbers, each where it came first."""
        return list(dict.fromkeys(self.sent[publisher]))

    @property
    def copies(self) -> int:
        """Return how many records are in the log a second time."""
        return sum(len(numbers) - len(set(numbers)) for numbers in self.sent.values())

    def check(self, accepted: dict[str, int]) -> None:
        """Check that all which was accepted is there, in order, and copies have one id."""
        for publisher, last in accepted.items():
            first = self.first_copies(publisher)
            # One more may have been stored when the process was killed before info() returned.
            assert first[: last + 1] == list(range(last + 1)), publisher
            assert first == list(range(len(first))), publisher
        assert {len(ids) for ids in self.message_ids.values()} == {1}


def accepted(process: Process) -> dict[str, int]:
    """Return the last number for which each publisher's info() had returned."""
    last: dict[str, int] = {}
    for line in process.lines("sent "):
        publisher, number = line.split()
        last[publisher] = int(number)
    return last


def more(process: Process, count: int) -> None:
    """Wait until so many more were sent."""
    process.wait_for_lines("sent ", len(process.lines("sent ")) + count)


def said(process: Process, text: str, times: int = 1) -> None:
    """Wait until this was logged so often."""
    eventually(lambda: process.log.count(text) >= times, DELIVERED_S, f"{text!r} in the log")


def drain(start: Start, url: str, topic: str) -> Process:
    """Start a process that sends nothing of its own, and let it send what it finds."""
    process = start(WORKERS / "outbox.py", url, topic, 0, 0)
    process.tell(f"flush {DELIVERED_S:g}")
    assert process.wait_for_lines("left ", timeout_s=DELIVERED_S + 10) == ["0"], process.log
    return process


def end(process: Process) -> None:
    """End a process in an orderly way."""
    process.tell("exit")
    assert process.end() == 0, process.log


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


AWAY = """
import os, resource, sys, time
import kafka_notify
url, topic = sys.argv[1:3]
transport = kafka_notify.get_notification_transport(url=url)
notifier = kafka_notify.Notifier(transport, "p0", topics=[topic])
payload = {"text": "x" * 500}
notifier.info({}, "outbox", payload)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
worst = 0
for number in range(200_000):
    began = time.monotonic()
    notifier.info({}, "outbox", payload)
    worst = max(worst, time.monotonic() - began)
print("grown", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print("worst", worst)
print("stored", transport.stats()["outbox_records"])
transport.cleanup()
"""


@pytest.mark.parametrize("outbox", ["always", "on_failure"])
def test_an_endless_outage_costs_no_memory(
    outbox: str, start: Start, spool: Path, unique: str
) -> None:
    """200,000 sends, nobody there: 64 MB more at most, and no send takes its bound."""
    url = f"kafka://127.0.0.1:1/?outbox={outbox}&spool_dir={spool}&close_timeout=0"
    process = start("-c", AWAY, url, unique)
    assert process.end(200) == 0, process.log
    [grown] = process.lines("grown ")
    [worst] = process.lines("worst ")
    [stored] = process.lines("stored ")
    assert int(grown) * 1024 < 67_108_864
    assert float(worst) < 10
    assert int(stored) == 200_001
