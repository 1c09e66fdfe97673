# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402 - eventlet has to come first
"""Calls that run aside, in a process patched by eventlet.

Argument: the name of one of the checks below, which says what holds. Ends with code 0 if it does.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import gc
import os
import sys
from collections.abc import Callable
from typing import Any

from eventlet import hubs, patcher
from ticker import Ticker

from kafka_notify.oslo.waiting import aside, current_thread_id

real = patcher.original("threading")
MOST = 64  # calls at a time
LONG_S = 30
HUB = real.get_ident()


class Refused(Exception):
    """Raised by a call."""


def add(one: int, *, other: int) -> int:
    """Return the sum."""
    return one + other


def refuse(number: int) -> None:
    """Raise."""
    raise Refused(number)


def descriptors() -> int:
    """Return how many this process has open."""
    return len(os.listdir("/proc/self/fd"))


def wait_until(predicate: Callable[[], bool]) -> None:
    """Let others run until it is so."""
    with eventlet.Timeout(LONG_S):
        while not predicate():
            eventlet.sleep(0.005)


class Held:
    """Calls that last until they are let go, and how many of them run."""

    def __init__(self) -> None:
        self._go = real.Event()
        self._lock = real.Lock()
        self.running = self.most = self.begun = self.ended = 0

    def __call__(self, number: int = 0) -> int:
        """Run in a real thread; return the number."""
        with self._lock:
            self.begun += 1
            self.running += 1
            self.most = max(self.most, self.running)
        assert self._go.wait(LONG_S)
        with self._lock:
            self.running -= 1
            self.ended += 1
        return number

    def let_go(self) -> None:
        """Have all of them end, those to come, too."""
        self._go.set()


def all_places_are_free() -> None:
    """See that as many calls as there may be get their turn at once."""
    held = Held()
    threads = [eventlet.spawn(aside, held) for _ in range(MOST)]
    wait_until(lambda: held.running == MOST)
    held.let_go()
    for thread in threads:
        thread.wait()


def check_returns_what_the_call_returns() -> None:
    """With its arguments, from a thread of the operating system that is not the hub's."""
    assert aside(add, 1, other=2) == 3
    assert aside(lambda: None) is None
    assert aside(real.get_ident) != HUB


def check_raises_what_the_call_raises() -> None:
    """The very error, also one that ends threads."""
    for error in (Refused("no"), SystemExit(3), KeyboardInterrupt()):

        def fail(error: BaseException = error) -> None:
            raise error

        caught: BaseException | None = None
        try:
            aside(fail)
        except BaseException as raised:  # noqa: BLE001 - that is what is looked for
            caught = raised
        assert caught is error, caught


def check_other_green_threads_go_on() -> None:
    """While a call waits in its real thread."""
    ticker = Ticker()
    aside(real.Event().wait, 0.5)
    assert ticker.turns >= 25, ticker.turns


def check_a_timeout_ends_the_wait_alone() -> None:
    """The call goes on and ends by itself, keeps its place so long, and then gives it back."""
    held = Held()
    for _ in range(MOST):
        try:
            with eventlet.Timeout(0.01):
                aside(held)
        except eventlet.Timeout:
            continue
        raise AssertionError("the wait was not ended")
    assert (held.running, held.ended) == (MOST, 0)
    late = eventlet.spawn(aside, add, 1, other=2)
    with eventlet.Timeout(0.2, False):
        late.wait()
        raise AssertionError("there was a place for one more")
    held.let_go()
    assert late.wait() == 3
    wait_until(lambda: held.ended == MOST)
    all_places_are_free()


def check_a_killed_green_thread_leaves_its_call_to_end() -> None:
    """The same for eventlet.kill(), of those that wait for a place, too."""
    held = Held()
    threads = [eventlet.spawn(aside, held) for _ in range(MOST + 10)]
    wait_until(lambda: held.running == MOST)
    for thread in threads:
        thread.kill()
    held.let_go()
    wait_until(lambda: held.ended == MOST)
    all_places_are_free()
    assert held.begun == MOST


def check_a_timeout_ends_the_wait_for_a_place() -> None:
    """That call never runs, and no place is lost."""
    held = Held()
    threads = [eventlet.spawn(aside, held) for _ in range(MOST)]
    wait_until(lambda: held.running == MOST)
    ran: list[int] = []
    with eventlet.Timeout(0.1, False):
        aside(ran.append, 1)
        raise AssertionError("there was a place for one more")
    held.let_go()
    for thread in threads:
        thread.wait()
    all_places_are_free()
    assert ran == []


def check_at_most_64_run_at_a_time() -> None:
    """Of 200 at once; all of them have their turn, and each gets its own result."""
    held = Held()
    threads = [eventlet.spawn(aside, held, number) for number in range(200)]
    wait_until(lambda: held.running == MOST)
    eventlet.sleep(0.3)  # what is too much would run by now
    assert held.most == MOST
    held.let_go()
    assert [thread.wait() for thread in threads] == list(range(200))
    assert held.most == MOST


def check_no_descriptor_is_left() -> None:
    """Not of 500 calls, by twenty at a time, of which some fail and some are given up."""
    aside(add, 1, other=2)  # the hub has its own now
    held = Held()
    gc.disable()  # whatever has to wait for it is left
    before = descriptors()

    def call(number: int) -> None:
        try:
            with eventlet.Timeout(0.01 if number % 10 == 0 else LONG_S):
                aside((held, refuse, add)[min(number % 10, 2)], number, **extra(number))
        except (Refused, eventlet.Timeout):
            return

    def extra(number: int) -> dict[str, Any]:
        return {"other": 1} if number % 10 > 1 else {}

    pool = eventlet.GreenPool(20)
    for number in range(500):
        pool.spawn(call, number)
    pool.waitall()
    assert held.begun == 50
    assert held.ended == 0
    held.let_go()
    wait_until(lambda: held.ended == 50)
    with eventlet.Timeout(LONG_S, False):
        while descriptors() > before:
            eventlet.sleep(0.01)
    assert descriptors() == before, (before, descriptors())


def check_a_call_within_a_call_runs_in_its_thread() -> None:
    """And takes no place of its own: 64 that call on do not wait for each other."""

    def outer() -> tuple[int, int]:
        return real.get_ident(), aside(real.get_ident)

    first, second = aside(outer)
    assert first == second != HUB
    held = Held()
    threads = [eventlet.spawn(aside, aside, held, number) for number in range(MOST)]
    wait_until(lambda: held.running == MOST)
    held.let_go()
    assert [thread.wait() for thread in threads] == list(range(MOST))


def check_a_call_counts_as_the_green_thread_that_waits() -> None:
    """By current_thread_id(), which tells green threads apart, too."""
    here = current_thread_id()
    assert aside(current_thread_id) == here
    assert aside(aside, current_thread_id) == here
    other = eventlet.spawn(lambda: (current_thread_id(), aside(current_thread_id))).wait()
    assert other[0] == other[1] != here


def check_a_child_of_fork_has_all_places() -> None:
    """Though the parent's are taken, by threads that the child does not have."""
    held = Held()
    threads = [eventlet.spawn(aside, held) for _ in range(MOST)]
    wait_until(lambda: held.running == MOST)
    child = os.fork()
    if not child:
        hubs.use_hub()  # as oslo.service does
        code = 1
        try:
            with eventlet.Timeout(LONG_S):
                assert aside(add, 1, other=2) == 3
                all_places_are_free()
            code = 0
        finally:
            os._exit(code)
    with eventlet.Timeout(2 * LONG_S):
        assert os.waitpid(child, 0)[1] == 0
    held.let_go()
    for thread in threads:
        thread.wait()
    all_places_are_free()


globals()[f"check_{sys.argv[1]}"]()
