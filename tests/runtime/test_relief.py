# SPDX-License-Identifier: Apache-2.0
"""Two threads in turns: one goes on with the work while the other runs what it has brought."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from kafka_notify.runtime import relief as relief_module
from kafka_notify.runtime.relief import Errand, Held, Relief
from tests.waiting import eventually

BOUND_S = 10.0
NAME = "relieved"

Errands = Iterator[Errand]


def alive() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == NAME]


def none_is_left() -> None:
    eventually(lambda: not alive(), BOUND_S, "the end of the threads")


def test_the_work_goes_on_beside_an_errand() -> None:
    """The errand runs in the thread that has got it, and the work elsewhere."""
    release, went_on = threading.Event(), threading.Event()
    where: dict[str, threading.Thread] = {}

    def errand() -> None:
        where["errand"] = threading.current_thread()
        release.wait(BOUND_S)

    def work() -> Errands:
        where["first"] = threading.current_thread()
        yield errand
        where["second"] = threading.current_thread()
        went_on.set()

    relief = Relief(work(), name=NAME)
    relief.start()
    assert went_on.wait(BOUND_S)
    release.set()
    none_is_left()
    assert where["errand"] is where["first"]
    assert where["errand"] is not where["second"]


def test_errand_after_errand_takes_two_threads() -> None:
    """However many they are, in order, and the threads end with the work."""
    seen: list[int] = []
    most = 0

    def work() -> Errands:
        nonlocal most
        through = threading.Semaphore(1)
        for number in range(1000):
            assert through.acquire(timeout=BOUND_S)
            most = max(most, len(alive()))

            def errand(number: int = number) -> None:
                seen.append(number)
                through.release()

            yield errand

    relief = Relief(work(), name=NAME)
    relief.start()
    relief.join(BOUND_S)
    assert not relief.is_alive()
    none_is_left()
    assert seen == list(range(1000))
    assert most == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_errand_that_raises_costs_its_thread_alone() -> None:
    """The next ones are relieved all the same."""
    relieved = threading.Event()

    def fail() -> None:
        raise SystemError

    def hold() -> None:
        assert relieved.wait(BOUND_S)

    def work() -> Errands:
        for _ in range(3):
            yield fail
            eventually(lambda: len(alive()) == 1, BOUND_S, "the end of the one that raised")
        yield hold
        relieved.set()

    relief = Relief(work(), name=NAME)
    relief.start()
    assert relieved.wait(BOUND_S)
    relief.join(BOUND_S)
    none_is_left()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_work_that_raises_has_ended() -> None:
    """As a thread's would have: nobody goes on with it, and nobody waits for it."""

    def work() -> Errands:
        yield lambda: None
        raise SystemError

    relief = Relief(work(), name=NAME)
    assert not relief.is_alive()
    relief.start()
    relief.join(BOUND_S)
    assert not relief.is_alive()
    none_is_left()


def test_join_waits_for_no_errand_and_not_for_itself() -> None:
    """Called by the work it returns at once, and so does it once only an errand is left."""
    release, joined = threading.Event(), threading.Event()

    def work() -> Errands:
        relief.join(2 * BOUND_S)
        joined.set()
        yield lambda: bool(release.wait(2 * BOUND_S))

    relief = Relief(work(), name=NAME)
    relief.start()
    assert joined.wait(BOUND_S)
    relief.join(2 * BOUND_S)
    assert not relief.is_alive()
    assert len(alive()) == 1
    release.set()
    none_is_left()


def test_without_a_further_thread_the_work_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has no more of them: errands run, one after the other with the work."""
    steps: list[str] = []

    def errand() -> None:
        steps.append("errand")

    def work() -> Errands:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        for _ in range(2):
            steps.append("work")
            yield errand

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    relief = Relief(work(), name=NAME)
    relief.start()
    relief.join(BOUND_S)
    none_is_left()
    assert steps == ["work", "errand"] * 2


def test_what_is_held_runs_in_the_midst_of_the_work() -> None:
    """In the same thread, and nothing of the work beside it; that goes on in the same thread."""
    threads: list[threading.Thread] = []
    beside: list[bool] = []
    is_running = False

    def held() -> None:
        nonlocal is_running
        is_running = True
        threads.append(threading.current_thread())
        threading.Event().wait(0.001)
        is_running = False

    def work() -> Errands:
        assert relief.has_deputy()
        for _ in range(100):
            threads.append(threading.current_thread())
            yield Held(held, BOUND_S)
            beside.append(is_running)

    relief = Relief(work(), name=NAME)
    relief.start()
    none_is_left()
    assert len(beside) == 100
    assert not any(beside)
    assert len(set(threads)) == 1


def test_who_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other goes on, and has a deputy again; who hung does nothing more in the end."""
    monkeypatch.setattr(relief_module, "_LOOK_S", 0.01)
    release, went_on, returned = (threading.Event() for _ in range(3))
    threads: list[threading.Thread] = []

    def hang() -> None:
        threads.append(threading.current_thread())
        assert release.wait(BOUND_S)
        returned.set()

    def work() -> Errands:
        assert relief.has_deputy()
        yield Held(hang, 0.05)
        threads.append(threading.current_thread())
        assert relief.has_deputy()
        for _ in range(10):
            yield lambda: threads.append(threading.current_thread())
        went_on.set()
        assert returned.wait(BOUND_S)

    relief = Relief(work(), name=NAME)
    relief.start()
    assert went_on.wait(BOUND_S)
    hung, *others = threads
    assert hung not in others
    assert hung.is_alive()
    release.set()
    relief.join(BOUND_S)
    none_is_left()
    assert len(others) == 11


@pytest.mark.parametrize("attempt", range(20))
def test_who_comes_back_in_time_and_who_takes_over_are_one(
    monkeypatch: pytest.MonkeyPatch, attempt: int
) -> None:
    """At the very moment when it is over, one of the two goes on, whichever: each step once."""
    monkeypatch.setattr(relief_module, "_LOOK_S", 0.001)
    steps: list[int] = []
    inside: list[int] = []

    def nap() -> None:
        threading.Event().wait(0.002)

    def work() -> Errands:
        for number in range(50):
            inside.append(number)
            steps.append(number)
            assert inside == [number]
            inside.clear()
            relief.has_deputy()
            yield Held(nap, 0.002)

    relief = Relief(work(), name=NAME)
    relief.start()
    none_is_left()
    assert steps == list(range(50))


def test_abandoned_it_has_ended() -> None:
    """In a child of fork nobody goes on, nor waits."""
    release = threading.Event()
    steps: list[int] = []

    def work() -> Errands:
        for number in itertools.count():
            steps.append(number)
            yield lambda: bool(release.wait(BOUND_S))
            release.wait(BOUND_S)

    relief = Relief(work(), name=NAME)
    relief.start()
    eventually(lambda: len(alive()) == 2, BOUND_S, "the second thread")
    relief.abandon()
    assert not relief.is_alive()
    relief.join(BOUND_S)
    release.set()
    none_is_left()
    assert len(steps) <= 2
