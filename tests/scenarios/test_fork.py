# SPDX-License-Identifier: Apache-2.0
"""A child of fork makes its own connections, and leaves those of its parent alone."""

from __future__ import annotations

import http.client
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Kafka
from tests.scenarios.processes import WORKERS, Process
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

pytestmark = pytest.mark.functional

Start = Callable[..., Process]
END_S = 20.0  # of processes that have nothing to wait for but a flush

PRELUDE = """
import os, sys, threading
import kafka_notify
url, topic = sys.argv[1:3]
transport = kafka_notify.get_notification_transport(url=url)
notifier = kafka_notify.Notifier(transport, "publisher", topics=[topic])
def send(first, last):
    for number in range(first, last):
        notifier.info({}, "fork", number)
def reap(*pids):
    for pid in pids:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print("child", code)
"""

CHILD_ENDS = {
    "exit": "sys.exit(7)",
    "cleanup": "transport.cleanup(); os._exit(7)",
    "drop": "del notifier, transport; os._exit(7)",
}


@pytest.mark.parametrize(
    ("child_ends", "used_before"),
    [("exit", True), ("exit", False), ("cleanup", True), ("drop", True)],
)
def test_parent_and_child_send(
    child_ends: str,
    used_before: bool,
    kafka: Kafka,
    bare: BareClient,
    start: Start,
    unique: str,
) -> None:
    """Before the fork, in the child, and in the parent while the child lives and after its end."""
    program = f"""{PRELUDE}
{"send(0, 100)" if used_before else ""}
pid = os.fork()
if not pid:
    send(100, 200)
    {CHILD_ENDS[child_ends]}
send(200, 300)
reap(pid)
send(300, 400)
"""
    process = start("-c", program, kafka.url(), unique)
    assert process.end(END_S) == 0, process.log
    assert process.lines("child ") == ["7"]
    expected = list(range(0 if used_before else 100, 400))
    assert sorted(bare.payloads(f"{unique}.info")) == expected


def test_a_child_may_fork_in_turn(
    kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """Three generations send, as those of a daemon that forks twice; each makes its own client."""
    program = f"""{PRELUDE}
send(0, 10)
for generation in (10, 20):
    pid = os.fork()
    if pid:
        send(generation + 100, generation + 110)
        reap(pid)
        sys.exit()
    send(generation, generation + 10)
"""
    process = start("-c", program, kafka.url(), unique)
    assert process.end(END_S) == 0, process.log
    expected = [*range(30), *range(110, 130)]
    assert sorted(bare.payloads(f"{unique}.info")) == expected


@pytest.mark.parametrize("outbox", ["off", "always"])
def test_a_fork_waits_for_a_client_that_connects(
    outbox: str, kafka: Kafka, start: Start, tmp_path: Path, unique: str
) -> None:
    """The child could get a resolver that hangs, from the thread that connects."""
    program = f"""{PRELUDE}
send(0, 10)
pid = os.fork()
if not pid:
    send(10, 20)
    os._exit(0 if transport.flush(30) == 0 else 1)
print("confirmed", transport.stats()["confirmed"])
reap(pid)
"""
    url = kafka.url(outbox=outbox, spool_dir=tmp_path)
    process = start("-c", program, url, unique)
    assert process.end(END_S) == 0, process.log
    assert process.lines("child ") == ["0"]
    assert int(process.lines("confirmed ")[0]) > 0


def test_threads_that_fork_at_the_same_time(start: Start) -> None:
    """Each lets go of what it has held itself, and of nothing of another's."""
    program = """
import os, threading, time
from kafka_notify import fork as forks
lock, owner = threading.Lock(), []
def take():
    lock.acquire()
    owner[:] = [threading.get_ident()]
def let_go():
    print("mine", owner == [threading.get_ident()])
    lock.release()
    time.sleep(0.001)  # the next one gets it before this thread is through
forks.register_hold(take, let_go, in_child=lock.release)
import kafka_notify.runtime.outbox.folder, kafka_notify.runtime.outbox.store
forks.register_hold(lambda: time.sleep(0.003), lambda: None)  # and is not through itself then
def fork():
    for _ in range(20):
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
threads = [threading.Thread(target=fork) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    process = start("-c", program)
    assert process.end(END_S) == 0, process.log
    assert process.lines("mine ") == ["True"] * 80
    assert "Exception ignored" not in process.log


def test_a_fork_waits_not_long_for_a_broker_without_answers(start: Start, unique: str) -> None:
    """Somebody listens, and that is all: the first fork waits a moment, and the next does not."""
    program = f"""{PRELUDE}
import time
send(0, 1)
for _ in range(2):
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        os._exit(0)
    print("took", time.monotonic() - began)
    reap(pid)
os._exit(0)
"""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"kafka://127.0.0.1:{silent.getsockname()[1]}/"
        process = start("-c", program, url, unique)
        assert process.end(END_S) == 0, process.log
    first, second = map(float, process.lines("took "))
    assert second < first < 5


def test_a_child_whose_resolver_hangs_says_so(kafka: Kafka, start: Start, unique: str) -> None:
    """Threads of the parent resolve names all the time: many a child gets the lock of one."""
    program = f"""{PRELUDE}
import logging, socket
logging.basicConfig(format="%(message)s", stream=sys.stdout)
def resolve():
    while True:
        socket.getaddrinfo("127.0.0.1", 9092, flags=socket.AI_ADDRCONFIG)
for _ in range(4):
    threading.Thread(target=resolve, daemon=True).start()
for number in range(30):
    pid = os.fork()
    if not pid:
        own = threading.Thread(target=socket.getaddrinfo, args=("127.0.0.1", 9092),
                               kwargs={{"flags": socket.AI_ADDRCONFIG}}, daemon=True)
        own.start()
        own.join(5)
        send(number, number + 1)
        os._exit(own.is_alive())
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        print("found one that hangs")
        break
os._exit(0)
"""
    process = start("-u", "-c", program, kafka.url(), unique)
    assert process.end(2 * END_S) == 0, process.log
    told = process.lines("Process ")
    if not process.lines("found "):
        assert not told
        pytest.skip("getaddrinfo of this C library does not hang in a child of fork")
    assert len(told) == 1
    assert "cannot reach Kafka: it was forked while" in told[0]


def test_an_idle_child_ends_and_sends_nothing(
    kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """What the parent has in its buffer at the fork is sent by the parent alone."""
    program = f"""{PRELUDE}
send(0, 1000)
pids = []
for _ in range(5):
    pid = os.fork()
    if not pid:
        sys.exit()
    pids.append(pid)
reap(*pids)
"""
    process = start("-c", program, kafka.url(), unique)
    assert process.end(END_S) == 0, process.log
    assert process.lines("child ") == ["0"] * 5
    assert bare.payloads(f"{unique}.info") == list(range(1000))


def test_fork_while_other_threads_send(
    kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """Whatever lock a thread holds at the fork, the child sends and ends."""
    program = f"""{PRELUDE}
sys.setswitchinterval(1e-5)
sent = []
going = True
def stream(first):
    while going:
        send(first, first + 1)
        sent.append(first)
        first += 1
def look():
    while going:
        transport.stats()
threads = [threading.Thread(target=stream, args=(1000000,)), threading.Thread(target=look)]
send(0, 1)
for thread in threads:
    thread.start()
pids = []
for child in range(10):
    pids.append(os.fork())
    if not pids[-1]:
        send(100 + child, 101 + child)
        os._exit(0 if transport.flush(30) == 0 else 1)
reap(*pids)
going = False
for thread in threads:
    thread.join()
print("sent", len(sent))
"""
    process = start("-c", program, kafka.url(), unique)
    assert process.end(60) == 0, process.log
    assert process.lines("child ") == ["0"] * 10
    arrived = bare.payloads(f"{unique}.info")
    assert len(arrived) == len(set(arrived))
    assert set(range(100, 110)) < set(arrived)
    assert len(arrived) == 11 + int(process.lines("sent ")[0])


@pytest.mark.parametrize(
    ("option", "value"),
    [("group_protocol", "classic"), ("group_protocol", "consumer"), ("commit_policy", "share")],
)
def test_a_child_leaves_its_parents_listener_alone(
    option: str, value: str, kafka: Kafka, start: Start, unique: str
) -> None:
    """A child's end, orderly or not, neither hangs nor stops what its parent receives."""
    program = f"""{PRELUDE}
class Endpoint:
    def info(self, ctxt, publisher_id, event_type, payload, metadata):
        os.write(1, f"got {{payload}}\\n".encode())
listener = kafka_notify.get_notification_listener(
    transport, [kafka_notify.Target(topic=topic)], [Endpoint()], pool=topic)
listener.start()
send(0, 10)
for child, end in enumerate((sys.exit, os._exit, "cleanup", "stop")):
    pid = os.fork()
    if not pid:
        send(100 + child, 101 + child)
        if end == "cleanup":
            transport.cleanup()
        elif end == "stop":
            listener.stop()
            listener.wait()
        else:
            transport.flush(10)
            end(0)
        sys.exit(0)
    reap(pid)
    send(10 * child + 10, 10 * child + 20)
sys.stdin.readline()
"""
    url = kafka.url(kafka_consumer_timeout=0.2, **{option: value})
    process = start("-c", program, url, unique)
    process.wait_for_lines("child ", 4, END_S)
    expected = [*range(50), *range(100, 104)]
    got = process.wait_for_lines("got ", len(expected), END_S)
    process.tell("end")
    assert process.end(END_S) == 0, process.log
    assert sorted(map(int, got)) == expected
    assert process.lines("child ") == ["0"] * 4


def test_a_child_may_listen_itself(kafka: Kafka, start: Start, unique: str) -> None:
    """A listener that was made before the fork, and not started, works in the child."""
    program = f"""{PRELUDE}
class Endpoint:
    def info(self, ctxt, publisher_id, event_type, payload, metadata):
        os.write(1, f"got {{payload}}\\n".encode())
listener = kafka_notify.get_notification_listener(
    transport, [kafka_notify.Target(topic=topic)], [Endpoint()], pool=topic)
send(0, 1)
assert transport.flush(30) == 0
pid = os.fork()
if not pid:
    listener.start()
    send(100, 110)
    sys.stdin.readline()
    sys.exit()
reap(pid)
"""
    process = start("-c", program, kafka.url(kafka_consumer_timeout=0.2), unique)
    got = process.wait_for_lines("got ", 10)
    process.tell("end")
    assert process.end(END_S) == 0, process.log
    assert sorted(map(int, got)) == list(range(100, 110))


def test_a_child_counts_its_own_work(kafka: Kafka, start: Start, unique: str) -> None:
    """What stats() tells in a child leaves out what its parent has sent."""
    program = f"""{PRELUDE}
send(0, 10)
pid = os.fork()
if not pid:
    send(10, 13)
    transport.flush(30)
    print("stats", transport.stats()["sent"], transport.stats()["confirmed"])
    os._exit(0)
reap(pid)
"""
    process = start("-c", program, kafka.url(), unique)
    assert process.end(END_S) == 0, process.log
    assert process.lines("stats ") == ["3 3"]


def test_gunicorn_with_preload(kafka: Kafka, bare: BareClient, start: Start, unique: str) -> None:
    """The application notifies when it is imported and from both workers; SIGTERM ends it all."""
    pytest.importorskip("gunicorn")
    server = start(
        "-m", "gunicorn", "--preload", "--workers=2", "--bind=127.0.0.1:0",
        "--no-control-socket", f"--chdir={WORKERS}", "web_app:application",
        env={"URL": kafka.url(), "TOPIC": unique},
    )  # fmt: skip
    line = server.wait_for_log("Listening at: http://")
    found = re.search(r"http://([\d.]+):(\d+)", line)
    assert found is not None
    host, port = found[1], int(found[2])
    paths: list[str] = []
    workers: set[bytes] = set()

    def ask() -> bool:
        client = http.client.HTTPConnection(host, port, timeout=30)
        paths.append(f"/{len(paths)}")
        client.request("GET", paths[-1])
        workers.add(client.getresponse().read())
        client.close()
        return len(paths) >= 30 and len(workers) == 2

    eventually(ask, 60, "answers of both workers")
    server.signal(signal.SIGTERM)
    assert server.end(END_S) == 0, server.log
    imported = [f"import {number}" for number in range(10)]
    assert sorted(bare.payloads(f"{unique}.info")) == sorted([*imported, *paths])


def test_a_launcher_of_services(kafka: Kafka, bare: BareClient, start: Start, unique: str) -> None:
    """Workers that fork off a used transport listen and notify, and end when they are told to."""
    heard = f"{unique}-heard"
    url = kafka.url(kafka_consumer_timeout=0.2, group_protocol="classic")
    launcher = start(WORKERS / "launcher.py", url, unique, heard)
    pids = launcher.wait_for_lines("worker ", 2)
    bare.send_payloads(f"{heard}.info", range(100))
    launcher.wait_for_lines("got ", 100)
    launcher.tell("stop")
    assert launcher.end(END_S) == 0, launcher.log
    assert launcher.lines("ended ") == ["0", "0"]
    assert sorted(map(int, launcher.lines("got "))) == list(range(100))
    expected = ["before the fork", "after the fork", "after the workers"]
    expected += [f"{what} in {pid}" for what in ("started", "stopped") for pid in pids]
    assert sorted(bare.payloads(f"{unique}.info")) == sorted(expected)
