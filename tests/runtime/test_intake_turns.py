# SPDX-License-Identifier: Apache-2.0
"""A thread of the intake commits and runs endpoints, and nothing waits for it too long."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kafka_notify.core import events
from kafka_notify.drivers import memory_consumer
from kafka_notify.drivers.memory_cluster import MemoryCluster
from tests.runtime.conftest import Recorder
from tests.runtime.rig import Rig, committed
from tests.waiting import eventually

BOUND_S = 10.0
ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT
AFTER = "commit_policy=after_dispatch"

MakeRig = Callable[[str], Rig]


class Waiting:
    """Holds what is for ``stuck`` until it may go on, in a thread of the intake."""

    def __init__(self) -> None:
        self.entered, self.release = threading.Event(), threading.Event()
        self.got: list[Any] = []
        self.held_in = ""

    def info(self, _c: Any, publisher_id: str, _e: Any, payload: Any, _m: Any) -> None:
        if publisher_id == "stuck":
            self.held_in = threading.current_thread().name
            self.entered.set()
            assert self.release.wait(2 * BOUND_S)
        self.got.append(payload)


def intake_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("kafka-notify-intake-")]


def listeners_threads() -> list[threading.Thread]:
    return [
        one
        for one in threading.enumerate()
        if one.name.startswith(("kafka-notify-intake-", "kafka-notify-pool"))
    ]


def test_an_endpoint_that_waits_keeps_nothing_from_its_way(
    policy: str, rig: MakeRig, cluster: MemoryCluster
) -> None:
    """Others are taken, dispatched and committed meanwhile; it is, when it is through."""
    made = rig(f"commit_policy={policy}")
    held = Waiting()
    listener = made.listen(held)
    made.send(0, publisher="stuck")
    assert held.entered.wait(BOUND_S)
    assert held.held_in.startswith("kafka-notify-intake-")
    for number in range(1, 20):
        made.send(number, publisher=f"flows-{number}")
        eventually(lambda: number in held.got, BOUND_S, "one that flows")  # noqa: B023 - at once
    eventually(lambda: committed(cluster) or cluster.group("pool").notes, BOUND_S, "a commit")
    held.release.set()
    eventually(lambda: committed(cluster) == 20, BOUND_S, "the last commit")
    listener.stop()
    listener.wait()
    eventually(lambda: not listeners_threads(), BOUND_S, "the end of the threads")


def test_a_stop_is_bounded_while_an_endpoint_waits(rig: MakeRig) -> None:
    """It ends without the endpoint, whose notification comes again; its thread ends with it."""
    made = rig(f"{AFTER}&drain_timeout=0.2")
    held = Waiting()
    listener = made.listen(held)
    made.send(0, publisher="stuck")
    assert held.entered.wait(BOUND_S)
    began_s = time.monotonic()
    listener.stop()
    assert time.monotonic() - began_s < BOUND_S / 2
    assert "stopped" in repr(listener)
    assert sum(one.records for one in made.of(events.ComesAgain)) == 1
    listener.start()
    eventually(lambda: len(intake_threads()) == 3, BOUND_S, "the one that runs it again")
    held.release.set()
    eventually(lambda: held.got == [0, 0], BOUND_S, "both")
    listener.stop()
    listener.wait()
    eventually(lambda: not listeners_threads(), BOUND_S, "the end of the threads")


def test_an_endpoint_may_stop_its_listener(
    policy: str, rig: MakeRig, cluster: MemoryCluster
) -> None:
    """stop() there only asks; what it has is committed, and all threads end."""
    made = rig(f"commit_policy={policy}")
    took_s: list[float] = []

    class Once:
        def info(self, *_arguments: Any) -> None:
            began_s = time.monotonic()
            listener.stop()
            took_s.append(time.monotonic() - began_s)

    listener = made.listen(Once())
    made.send(1)
    listener.wait()
    assert took_s
    assert took_s[0] < BOUND_S / 2
    assert committed(cluster) == 1
    eventually(lambda: not listeners_threads(), BOUND_S, "the end of the threads")


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_an_endpoint_cannot_end_the_intake(
    end: type[BaseException], policy: str, rig: MakeRig, cluster: MemoryCluster
) -> None:
    """Whatever it raises, the next one is dispatched, and committed."""
    made = rig(f"commit_policy={policy}")
    seen: list[Any] = []

    class Leaving:
        def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> None:
            seen.append(payload)
            raise end

    made.listen(Leaving())
    for number in range(3):
        made.send(number)
        eventually(lambda: len(seen) == number + 1, BOUND_S, "the next")  # noqa: B023 - at once
    assert seen == [0, 1, 2]
    eventually(lambda: committed(cluster) == 3, BOUND_S, "the commit")


def test_a_rebalance_waits_for_the_endpoint(rig: MakeRig, cluster: MemoryCluster) -> None:
    """What the other thread runs is committed before its partition goes; none comes twice."""
    made = rig(AFTER)
    held, other = Waiting(), Recorder()
    first = made.listen(held)
    made.send(0, publisher="stuck")
    assert held.entered.wait(BOUND_S)
    starting = threading.Thread(target=lambda: seconds.append(made.listen(other)))
    seconds: list[Any] = []
    starting.start()
    threading.Event().wait(0.3)
    assert committed(cluster) == 0
    held.release.set()
    starting.join(BOUND_S)
    assert seconds
    made.send(*range(1, 30))
    made.send(*range(30, 60), publisher="q")
    eventually(lambda: len(held.got) + len(other.payloads) >= 60, BOUND_S, "all")
    first.stop()
    seconds[0].stop()
    assert sorted(held.got + other.payloads) == list(range(60))
    assert committed(cluster) == 60
    assert not made.of(events.ComesAgain)


@pytest.mark.parametrize("limit", [1, 4])
def test_quick_and_slow_ones_mixed(
    limit: int, policy: str, rig: MakeRig, cluster: MemoryCluster
) -> None:
    """Whoever runs them: each comes once, those of a key in order, in few threads."""
    made = rig(f"commit_policy={policy}&executor_thread_pool_size={limit}&dispatch_window=64")
    chance = random.Random(limit)  # noqa: S311 - a test's dice
    got: dict[str, list[Any]] = {}
    at_once: set[int] = set()
    most_at_once, most_threads = 0, 0

    class Endpoint:
        def info(self, _c: Any, publisher_id: str, _e: Any, payload: Any, _m: Any) -> None:
            nonlocal most_at_once, most_threads
            at_once.add(threading.get_ident())
            most_at_once = max(most_at_once, len(at_once))
            most_threads = max(most_threads, len(listeners_threads()))
            if payload % 17 == 0:
                time.sleep(0.004)  # noqa: TID251 - a slow endpoint
            got.setdefault(publisher_id, []).append(payload)
            at_once.discard(threading.get_ident())

    listener = made.listen(Endpoint())
    sent: dict[str, list[int]] = {f"p{number}": [] for number in range(7)}
    for number in range(1500):
        publisher = chance.choice(list(sent))
        sent[publisher].append(number)
        made.notifier.prepare(publisher_id=publisher).info({}, "e", number)
        if number % 10 == 0:
            made.transport.flush()
            time.sleep(chance.choice([0, 0, 0.001, 0.003]))  # noqa: TID251 - its pace
    made.transport.flush()
    eventually(lambda: sum(map(len, got.values())) >= 1500, 3 * BOUND_S, "all")
    listener.stop()
    listener.wait()
    assert got == sent
    assert committed(cluster) == 1500
    assert most_at_once <= limit
    assert most_threads <= limit + 2
    eventually(lambda: not listeners_threads(), BOUND_S, "the end of the threads")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_an_endpoint_that_forks(
    policy: str, rig: MakeRig, cluster: MemoryCluster, tmp_path: Path
) -> None:
    """The child's copy of the thread, coming back from the endpoint, does nothing: it ends."""
    made = rig(f"commit_policy={policy}&executor_thread_pool_size=1")
    children: list[int] = []
    got: list[Any] = []
    noted = tmp_path / "noted"
    noted.touch()
    backlog = threading.Event()

    class Forking:
        def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> None:
            got.append(payload)
            if payload == 0:
                assert backlog.wait(BOUND_S)
                child = os.fork()
                if child:
                    children.append(child)
            with noted.open("a") as file:
                file.write(f"{payload} {os.getpid()}\n")

    made.listen(Forking())
    made.send(0, 1, 2)
    eventually(lambda: made.transport.stats()["received"] == 3, BOUND_S, "the backlog")
    backlog.set()
    eventually(lambda: got == [0, 1, 2], BOUND_S, "the parent's")
    [child] = children
    try:
        eventually(lambda: os.waitid(os.P_PID, child, ENDED), BOUND_S, "the end of the child")
    finally:
        os.kill(child, signal.SIGKILL)  # still there: nobody has taken its status
        os.waitpid(child, 0)
    eventually(lambda: committed(cluster) == 3, BOUND_S, "the commit")
    theirs = [line for line in noted.read_text().splitlines() if line.endswith(f" {child}")]
    assert theirs == [f"0 {child}"]


class HangsOnce:
    """A driver whose first consumer's first commit of records hangs until it is released."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.entered, self.release = threading.Event(), threading.Event()
        self.armed = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def new_consumer(self, group: str, *, on_problem: Any) -> Any:
        consumer = self._driver.new_consumer(group, on_problem=on_problem)
        commit = consumer.commit

        def hanging(*arguments: Any) -> None:
            if self.armed.is_set() and not self.entered.is_set():
                self.entered.set()
                assert self.release.wait(2 * BOUND_S)
            commit(*arguments)

        consumer.commit = hanging
        return consumer


def test_a_commit_that_hangs(
    rig: MakeRig, cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread goes on when its time is over: all is dispatched, once, and told."""
    monkeypatch.setattr(memory_consumer._PendingCommit, "timeout_s", 0.2)
    made = rig("")
    driver = HangsOnce(made.transport.driver)
    monkeypatch.setattr(made.transport, "driver", driver)
    recorder = Recorder()
    listener = made.listen(recorder)
    driver.armed.set()
    made.send(0)
    assert driver.entered.wait(BOUND_S)
    made.send(*range(1, 20))
    recorder.wait_for(20)
    assert made.of(events.CommitRetried)
    driver.release.set()
    made.send(*range(20, 40))
    recorder.wait_for(40)
    listener.stop()
    listener.wait()
    assert recorder.payloads == list(range(40))
    assert committed(cluster) == 40
    eventually(lambda: not listeners_threads(), BOUND_S, "the end of the threads")
