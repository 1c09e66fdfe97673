# SPDX-License-Identifier: Apache-2.0
"""Leaving the process, in whichever way, loses nothing that the brokers can still take."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Kafka
from tests.scenarios.processes import WORKERS, Process
from tests.scenarios.topics import BareClient

pytestmark = pytest.mark.functional

Start = Callable[..., Process]
COUNT = 1000
MARGIN_S = 10.0  # what a busy machine may add to a bound

SEND = """
import os, signal, sys, threading
import kafka_notify
kafka_notify.exit_cleanly_on()
url, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
transport = kafka_notify.get_notification_transport(url=url)
notifier = kafka_notify.Notifier(transport, "publisher", topics=[topic])
def send(numbers=range(count)):
    for number in numbers:
        notifier.info({}, "leaving", number)
"""

ENDINGS = {
    "end of main": ("send()", 0),
    "sys.exit": ("send(); sys.exit(3)", 3),
    "unhandled exception": ("send(); raise RuntimeError('on purpose')", 1),
    "SIGTERM": ("send(); os.kill(os.getpid(), signal.SIGTERM); signal.pause()", 143),
    "cleanup": ("send(); transport.cleanup(); os._exit(0)", 0),
    "with": ("with transport: send()\nos._exit(0)", 0),
    "thread": ("threading.Thread(target=send).start()", 0),
    "confirm": ("send(range(20)); os._exit(0)", 0),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_all_that_was_sent_arrives(
    ending: str, kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """1,000 sends and the end at once: all are in the log, once, in order."""
    program, code = ENDINGS[ending]
    url = kafka.url(delivery="confirm") if ending == "confirm" else kafka.url()
    process = start("-c", f"{SEND}\n{program}", url, unique, COUNT)
    assert process.end() == code, process.log
    expected = 20 if ending == "confirm" else COUNT
    assert bare.payloads(f"{unique}.info") == list(range(expected))


def test_threads_of_an_executor_may_send_at_the_end(
    kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """Work that an executor still has when main ends is done, and what it sends arrives."""
    program = f"""{SEND}
from concurrent.futures import ThreadPoolExecutor
executor = ThreadPoolExecutor(4)
for first in range(0, count, 100):
    executor.submit(send, range(first, first + 100))
"""
    process = start("-c", program, kafka.url(), unique, COUNT)
    assert process.end() == 0, process.log
    assert sorted(bare.payloads(f"{unique}.info")) == list(range(COUNT))


def test_dropping_the_last_reference_delivers(
    kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """Nobody holds notifier or transport any more, the process goes on: all is in the log."""
    program = f"{SEND}\nsend()\ndel notifier, transport\nprint('dropped')\nsys.stdin.readline()"
    process = start("-c", program, kafka.url(), unique, COUNT)
    process.wait_for_lines("dropped")
    assert bare.payloads(f"{unique}.info") == list(range(COUNT))
    process.tell("go")
    assert process.end() == 0, process.log


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_delivers(
    method: str, kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """A child that sends and returns, without its atexit hooks ever being run, loses nothing."""
    process = start(WORKERS / "children.py", kafka.url(), unique, method)
    assert process.end() == 0, process.log
    assert sorted(bare.payloads(f"{unique}.info")) == list(range(400))


@pytest.fixture
def nowhere(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the address of no broker: nobody listens, or takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if request.param == "silent":
            listening.listen(50)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    ("nowhere", "ending"),
    [
        ("refused", ""),
        ("refused", "transport.cleanup()"),
        ("refused", "del notifier, transport"),
        ("silent", ""),
    ],
    indirect=["nowhere"],
)
def test_what_could_not_be_delivered_is_said(
    ending: str, nowhere: str, start: Start, unique: str
) -> None:
    """Without a broker the end takes close_timeout, and each notification is named as an error."""
    program = f"""
import logging
logging.basicConfig(format="%(levelname)s %(message)s")
{SEND}
send()
{ending}
"""
    process = start("-c", program, f"kafka://{nowhere}/?close_timeout=1", unique, 50)
    began = time.monotonic()
    assert process.end(30) == 0, process.log
    assert time.monotonic() - began < 1 + MARGIN_S
    assert "ERROR 50 notifications were not delivered within 1.0 s" in process.log
    pattern = rf"^ERROR Notification ([0-9a-f-]{{36}}) was not delivered to topic {unique}\.info"
    assert len(set(re.findall(pattern, process.log, re.MULTILINE))) == 50


def test_a_log_file_gets_the_last_errors(start: Start, unique: str) -> None:
    """What is said at the very end reaches handlers that logging has shut down before."""
    program = f"""
import logging
logging.basicConfig(filename="service.log", format="%(levelname)s %(message)s")
{SEND}
send()
"""
    process = start("-c", program, "kafka://127.0.0.1:1/?close_timeout=0.5", unique, 3)
    assert process.end(30) == 0, process.log
    shown = start("-c", "print(open('service.log').read())")
    shown.wait_for_lines("ERROR 3 notifications were not delivered")
    assert len(shown.lines("ERROR Notification ")) == 3


@pytest.mark.parametrize("leave", ["exit", "SIGTERM"])
def test_a_listener_dispatches_what_it_has_committed(
    leave: str, kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """The process ends with slow endpoints at work: what is committed was dispatched, no more."""
    topic = f"{unique}.info"
    bare.create(topic)
    bare.send_payloads(topic, range(500))
    url = kafka.url(group_start="beginning", kafka_consumer_timeout=0.2, dispatch_window=100)
    process = start(WORKERS / "listen.py", url, unique, unique, "--delay", 0.01)
    process.wait_for_lines("got ", 20)
    if leave == "SIGTERM":
        process.signal(signal.SIGTERM)
    else:
        process.tell("exit")
    assert process.end() == (143 if leave == "SIGTERM" else 0), process.log
    dispatched = process.lines("got ")
    assert len(dispatched) == len(set(dispatched))
    assert len(dispatched) == 500 - bare.lag(unique, topic)
    assert 20 <= len(dispatched) < 500


def test_a_child_of_multiprocessing_dispatches_what_it_has_committed(
    kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """Such a child ends without its atexit hooks; its listener stops in order all the same."""
    topic = f"{unique}.info"
    bare.create(topic)
    bare.send_payloads(topic, range(500))
    url = kafka.url(group_start="beginning", kafka_consumer_timeout=0.2, dispatch_window=100)
    process = start(WORKERS / "listening_child.py", url, unique)
    assert process.end() == 0, process.log
    dispatched = process.lines("got ")
    assert len(dispatched) == len(set(dispatched))
    assert len(dispatched) == 500 - bare.lag(unique, topic)


def test_cleanup_leaves_nothing_running(kafka: Kafka, start: Start, unique: str) -> None:
    """No thread of ours is left after cleanup(), though the listener was restarted before."""
    program = f"""{SEND}
got = threading.Semaphore(0)
class Endpoint:
    def info(self, *arguments):
        got.release()
listener = kafka_notify.get_notification_listener(
    transport, [kafka_notify.Target(topic=topic)], [Endpoint()], pool=topic)
for _ in range(3):
    listener.start()
    send()
    for _ in range(count):
        assert got.acquire(timeout=30)
    listener.stop()
transport.cleanup()
print("threads", [thread.name for thread in threading.enumerate()])
"""
    url = kafka.url(kafka_consumer_timeout=0.2, group_protocol="classic")
    process = start("-c", program, url, unique, 10)
    assert process.end() == 0, process.log
    assert process.lines("threads ") == ["['MainThread']"]


ENDED_IN_START = """
import os, signal, sys, threading
import kafka_notify
from kafka_notify.runtime.starting import Starting
kafka_notify.exit_cleanly_on()
begun = threading.Event()

def wait(_self):  # the group is slow to come to rest, and the signal comes meanwhile
    begun.wait(30)
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()

Starting.wait = wait

class Endpoint:
    def info(self, _ctxt, _publisher, _event_type, payload, _metadata):
        print("begun", flush=True)
        begun.set()
        threading.Event().wait(1)
        print("done", flush=True)

def listen(url, topic):
    transport = kafka_notify.get_notification_transport(url=url)
    listener = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic=topic)], [Endpoint()], pool=topic)
    listener.start()
    print("started", flush=True)
    listener.wait()

listen(sys.argv[1], sys.argv[2])
"""


def test_a_start_that_a_signal_ends(
    brisk: Kafka, bare_brisk: BareClient, start: Start, unique: str
) -> None:
    """What an endpoint has begun meanwhile is waited for, and committed."""
    topic = f"{unique}.info"
    bare_brisk.create(topic)
    bare_brisk.send_payloads(topic, [0])
    url = brisk.url(commit_policy="after_dispatch", group_start="beginning")
    process = start("-c", ENDED_IN_START, url, unique)
    assert process.end() == 128 + signal.SIGTERM, process.log
    assert process.lines("begun") == [""]
    assert process.lines("done") == [""]
    assert process.lines("started") == []
    assert bare_brisk.lag(unique, topic) == 0
