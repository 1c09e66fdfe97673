# SPDX-License-Identifier: Apache-2.0
"""Endpoints that are coroutine functions: side by side on one loop, as each policy promises."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kafka_notify
from kafka_notify import NotificationResult
from kafka_notify.core import events
from kafka_notify.drivers.memory_cluster import MemoryCluster
from kafka_notify.runtime.endpoint_loop import EndpointLoop
from tests.runtime.conftest import Recorder
from tests.runtime.rig import Rig, committed
from tests.waiting import eventually

BOUND_S = 10.0


class Crowd:
    """Counts who is in it at once, and lets them go when as many are there as were asked for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.inside = self.most = self.calls = 0
        self.full: asyncio.Event | None = None

    async def info(self, *_arguments: Any) -> None:
        self.full = self.full or asyncio.Event()
        self.calls += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside == self.size:
            self.full.set()
        await asyncio.wait_for(self.full.wait(), BOUND_S)
        await asyncio.sleep(0.001)
        self.inside -= 1


def listen(made: Rig, *endpoints: Any) -> kafka_notify.NotificationListener:
    """Return a listener of several endpoints that has started."""
    listener = kafka_notify.get_notification_listener(
        made.transport, [kafka_notify.Target(topic="t")], endpoints, pool="pool"
    )
    listener.start()
    return listener


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_as_many_at_once_as_workers_and_no_thread_for_each(
    policy: str, rig: Callable[[str], Rig]
) -> None:
    """Fifty wait for each other, and a fifty-first for one of them; one thread does it all."""
    made = rig(f"commit_policy={policy}&workers=50")
    crowd = Crowd(50)
    made.listen(crowd)
    before = len(names_of_threads())
    for number in range(120):
        made.notifier.prepare(publisher_id=f"p{number}").info({}, "e", number)
    eventually(lambda: crowd.calls == 120 and not crowd.inside, BOUND_S, "all")
    assert crowd.most == 50
    # The loop's, and the notifier's own.
    assert len(names_of_threads()) < before + 5


def test_order_per_key_whatever_each_takes(policy: str, rig: Callable[[str], Rig]) -> None:
    """Some wait and some do not: within a key nothing overtakes."""
    made = rig(f"commit_policy={policy}")
    got: dict[str, list[int]] = defaultdict(list)

    class Endpoint:
        async def info(self, _c: Any, publisher: str, _e: Any, payload: Any, _m: Any) -> None:
            if payload % 3:
                await asyncio.sleep(payload % 7 / 1000)
            got[publisher].append(payload)

    made.listen(Endpoint())
    for number in range(300):
        made.notifier.prepare(publisher_id=f"p{number % 20}").info({}, "e", number)
    eventually(lambda: sum(map(len, got.values())) == 300, BOUND_S, "all")
    assert all(payloads == sorted(payloads) for payloads in got.values())


def test_who_waits_goes_on_among_those_who_never_do(rig: Callable[[str], Rig]) -> None:
    """A backlog of endpoints that await nothing does not keep one from its turn until it ends."""
    made = rig("workers=2&commit_policy=after_dispatch&dispatch_window=2000")
    got: list[Any] = []
    go_on = threading.Event()

    class Endpoint:
        async def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> None:
            if payload == 0:
                go_on.wait(BOUND_S)  # until the backlog is there
                await asyncio.sleep(0)
            got.append(payload)

    made.listen(Endpoint())
    for number in range(1001):
        made.notifier.prepare(publisher_id=f"p{number}").info({}, "e", number)
    made.transport.flush()
    eventually(lambda: made.transport.stats()["received"] == 1001, BOUND_S, "the backlog")
    go_on.set()
    eventually(lambda: len(got) == 1001, BOUND_S, "all")
    assert got.index(0) < 900


@pytest.mark.parametrize(
    "error", [ValueError("no"), asyncio.CancelledError(), SystemExit(1), KeyboardInterrupt()]
)
def test_what_an_endpoint_raises_costs_itself_only(
    error: BaseException, policy: str, rig: Callable[[str], Rig]
) -> None:
    """It is told, with the endpoint's name; the next ones are dispatched."""
    made = rig(f"commit_policy={policy}")
    got: list[Any] = []

    class Endpoint:
        async def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> None:
            await asyncio.sleep(0)
            if payload == 1:
                raise error
            got.append(payload)

    made.listen(Endpoint())
    made.send(0, 1, 2, 3)
    eventually(lambda: got == [0, 2, 3], BOUND_S, "the others")
    [told] = made.of(events.EndpointFailed)
    assert told.endpoint.endswith("Endpoint.info")
    assert told.error is error


def test_batches(policy: str, rig: Callable[[str], Rig]) -> None:
    """A list for each call; one that is requeued comes again as a whole."""
    made = rig(f"commit_policy={policy}&requeue_wait=0.01")
    got: list[list[Any]] = []

    class Endpoint:
        async def info(self, notifications: list[dict[str, Any]]) -> str | None:
            await asyncio.sleep(0)
            got.append([one["payload"] for one in notifications])
            return NotificationResult.REQUEUE if len(got) == 1 else None

    made.listen(Endpoint(), batch_size=3, batch_timeout=0.2, allow_requeue=True)
    made.send(1, 2, 3)
    eventually(lambda: got == [[1, 2, 3], [1, 2, 3]], BOUND_S, "the list, twice")


def test_beside_endpoints_that_are_none(policy: str, rig: Callable[[str], Rig]) -> None:
    """Both kinds of endpoints of one listener get everything."""
    made = rig(f"commit_policy={policy}")
    recorder = Recorder()
    got: list[Any] = []

    class Endpoint:
        async def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> None:
            await asyncio.sleep(0)
            got.append(payload)

    listen(made, recorder, Endpoint())
    made.send(*range(20))
    eventually(lambda: got == list(range(20)), BOUND_S, "all")
    assert recorder.payloads == list(range(20))


@pytest.mark.parametrize("is_mixed", [False, True])
def test_stop_in_an_endpoint(is_mixed: bool, policy: str, rig: Callable[[str], Rig]) -> None:
    """It only asks: the endpoint goes on at once, and the listener ends after it."""
    made = rig(f"commit_policy={policy}")
    took: list[float] = []

    class Endpoint:
        async def info(self, *_arguments: Any) -> None:
            began_s = time.monotonic()
            listener.stop()
            took.append(time.monotonic() - began_s)

    listener = listen(made, Endpoint(), *([Recorder()] if is_mixed else []))
    made.send(1)
    eventually(lambda: took, BOUND_S, "its stop")
    assert took[0] < 1  # drain_timeout is 10 s
    listener.wait()
    assert not [name for name in names_of_threads() if "endpoints" in name]


def test_what_is_cut_off_comes_again(rig: Callable[[str], Rig], cluster: MemoryCluster) -> None:
    """An endpoint that outlasts the stop is cancelled, and counts as never done."""
    made = rig("commit_policy=after_dispatch&drain_timeout=0.1")
    ends: list[str] = []

    class Endpoint:
        async def info(self, *_arguments: Any) -> None:
            ends.append("began")
            try:
                await asyncio.sleep(100)
            finally:
                ends.append("cut off")

    listener = made.listen(Endpoint())
    made.send(1)
    eventually(lambda: ends, BOUND_S, "its begin")
    listener.stop()
    listener._release(0)  # what wait() does 10 s later
    eventually(lambda: ends == ["began", "cut off"], BOUND_S, "its end")
    assert committed(cluster) == 0
    recorder = Recorder()
    made.listen(recorder)
    assert [arguments[3] for _, arguments in recorder.wait_for(1)] == [1]
    assert not made.of(events.EndpointFailed)


def test_a_stuck_one_is_told(policy: str, rig: Callable[[str], Rig]) -> None:
    """Which notification of those that wait side by side, and for how long."""
    made = rig(f"stuck_after=0.2&commit_policy={policy}")
    go_on: list[asyncio.Event] = []

    class Endpoint:
        async def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> None:
            if payload == 1:
                go_on.append(asyncio.Event())
                await go_on[0].wait()

    listener = made.listen(Endpoint())
    made.send(1)
    for number in range(2, 30):
        made.send(number, publisher=f"p{number}")
    eventually(lambda: made.of(events.EndpointStuck), BOUND_S, "the report")
    [problem] = listener.problems()
    told = made.of(events.EndpointStuck)[0]
    assert told.message_id in problem
    listener._dispatcher.loop.call(go_on[0].set)
    eventually(lambda: listener.problems() == [], BOUND_S, "its end")


def test_what_an_endpoint_leaves_in_its_task_stays_there(rig: Callable[[str], Rig]) -> None:
    """A cancellation that comes late, a context variable: the next notification meets neither."""
    made = rig("workers=1&commit_policy=after_dispatch")
    mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="none")
    got: list[tuple[Any, str]] = []

    class Endpoint:
        async def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> None:
            await asyncio.sleep(0)
            got.append((payload, mark.get()))
            mark.set(f"of {payload}")
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

    made.listen(Endpoint())
    made.send(*range(10))
    eventually(lambda: len(got) == 10, BOUND_S, "all")
    assert got == [(number, "none") for number in range(10)]
    assert not made.of(events.EndpointFailed)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_loop_outlives_what_a_task_of_an_endpoint_raises(rig: Callable[[str], Rig]) -> None:
    """asyncio ends a loop in which any task exits; here that is an error of the endpoint's."""
    made = rig("commit_policy=after_dispatch")
    got: list[Any] = []

    class Endpoint:
        async def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> None:
            if payload == 1:
                await asyncio.gather(self.leave())
            got.append(payload)

        async def leave(self) -> None:
            raise SystemExit(1)

    made.listen(Endpoint())
    made.send(0, 1, 2, 3)
    eventually(lambda: got == [0, 2, 3], BOUND_S, "the others")
    [told] = made.of(events.EndpointFailed)
    assert isinstance(told.error, SystemExit)


@pytest.mark.parametrize("is_mixed", [False, True])
def test_wait_waits_for_one_that_outlasts_the_drain(
    is_mixed: bool, policy: str, rig: Callable[[str], Rig]
) -> None:
    """As long as for any endpoint: it is not cut off before, nor does another loop begin."""
    made = rig(f"commit_policy={policy}&drain_timeout=0.1")
    steps: list[str] = []

    class Endpoint:
        async def info(self, *_arguments: Any) -> None:
            steps.append("begins")
            await asyncio.sleep(1)
            steps.append("ends")

    listener = listen(made, Endpoint(), *([Recorder()] if is_mixed else []))
    made.send(1)
    eventually(lambda: steps, BOUND_S, "its begin")
    listener.stop()
    listener.wait()
    assert steps == ["begins", "ends"]
    assert not made.of(events.EndpointFailed)
    assert not [name for name in names_of_threads() if "endpoints" in name]


def test_no_thread_for_the_loop(
    rig: Callable[[str], Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system has none, start() says so before anything is taken."""
    made = rig("")

    class Endpoint:
        async def info(self, *_arguments: Any) -> None:
            raise AssertionError("nothing was sent")

    begin = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if "endpoints" in thread.name:
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="thread"):
        made.listen(Endpoint())
    assert made.transport.stats()["received"] == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_an_endpoint_that_forks(rig: Callable[[str], Rig], tmp_path: Path) -> None:
    """What is in hand is the parent's: the child dispatches nothing of it."""
    made = rig("workers=1&commit_policy=after_dispatch")
    noted = tmp_path / "noted"
    noted.touch()
    children: list[int] = []

    class Endpoint:
        async def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> None:
            if payload == 0:
                await asyncio.to_thread(event_of_backlog.wait, BOUND_S)
                child = os.fork()
                if child:
                    children.append(child)
            with noted.open("a") as file:
                file.write(f"{payload} {os.getpid()}\n")

    event_of_backlog = threading.Event()
    made.listen(Endpoint())
    for number in range(20):
        made.notifier.prepare(publisher_id=f"p{number}").info({}, "e", number)
    made.transport.flush()
    eventually(lambda: made.transport.stats()["received"] == 20, BOUND_S, "the backlog")
    event_of_backlog.set()
    eventually(lambda: len(noted.read_text().split("\n")) >= 21, BOUND_S, "all")
    eventually(lambda: f"0 {children[0]}\n" in noted.read_text(), BOUND_S, "the child's own")
    made.send(20)
    eventually(lambda: f"20 {os.getpid()}" in noted.read_text(), BOUND_S, "the next one")
    threading.Event().wait(0.3)  # for more than there should be
    os.kill(children[0], signal.SIGKILL)
    os.waitpid(children[0], 0)
    lines = noted.read_text().splitlines()
    mine = [line for line in lines if line.endswith(f" {os.getpid()}")]
    assert len(mine) == 21
    assert [line for line in lines if line not in mine] == [f"0 {children[0]}"]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_of_fork_listens_anew(rig: Callable[[str], Rig]) -> None:
    """The loop's thread is not in the child, which makes its own when it needs one."""
    made = rig("")
    got: list[Any] = []

    class Endpoint:
        async def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> None:
            got.append(payload)

    listener = made.listen(Endpoint())
    made.send(1)
    eventually(lambda: got == [1], BOUND_S, "the parent's")
    child = os.fork()
    if not child:
        code = 1
        try:
            loop = listener._dispatcher.loop
            asked = threading.Event()
            loop.call(asked.set)
            code = 0 if asked.wait(BOUND_S) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class TestTheLoop:
    """It waits as long as it is told to, for whatever number of files."""

    @pytest.mark.parametrize("held", [0, 1100])
    def test_it_hears_of_others(self, held: int) -> None:
        """From other threads, at once, also where its own file has a high number."""
        pairs = [os.pipe() for _ in range(held // 2)]
        loop = EndpointLoop("test")
        try:
            for _ in range(50):
                heard = threading.Event()
                loop.call(heard.set)
                assert heard.wait(BOUND_S)

            async def naps() -> float:
                began_s = time.monotonic()
                await asyncio.sleep(0.0003)
                return time.monotonic() - began_s

            assert loop.run(naps()) >= 0.0003
        finally:
            loop.close()
            for pair in pairs:
                os.close(pair[0])
                os.close(pair[1])
