# SPDX-License-Identifier: Apache-2.0
"""What one notification costs, counted: how many Python functions run for it, in all threads.

Never by the clock, so that a busy machine changes nothing. A count is the slope between few and
many notifications, which leaves out what is done once. Each bound is a fifth above what was
counted when it was written: whoever makes a notification cheaper lowers it.
"""

from __future__ import annotations

import sys
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import kafka_notify
from kafka_notify.bench.workload import cycle, samples
from kafka_notify.runtime import workers

FEW, MANY = 500, 2500
BOUND_S = 60.0
SAMPLES = samples()

Calls = Counter[tuple[str, str]]
"""How often each function was called, by its file and its name."""


@contextmanager
def counted() -> Iterator[Calls]:
    """Count the calls of this thread, and of those that start meanwhile."""
    calls: Calls = Counter()

    def note(frame: Any, event: str, _argument: Any) -> None:
        if event == "call":
            code = frame.f_code
            calls[code.co_filename.rpartition("/")[2], code.co_name] += 1

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        with pytest.MonkeyPatch.context() as patch:
            # Endpoints are quick; to count makes all of it ten times slower.
            patch.setattr(workers, "_SLOW_S", 10.0)
            patch.setattr(workers, "_STALLED_S", 10.0)
            yield calls
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


def notify(transport: Any, count: int) -> None:
    """Send, as services do: a notifier for each publisher."""
    notifier = kafka_notify.Notifier(transport, topics=["t"])
    of = {one: notifier.prepare(publisher_id=one) for one in {s.publisher_id for s in SAMPLES}}
    for one in cycle(SAMPLES, count):
        of[one.publisher_id].info({}, one.event_type, one.payload)
    assert transport.flush() == 0


class Counting:
    """An endpoint, or a batch endpoint, that knows when it has all."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()
        self.complete = threading.Event()

    def info(self, *notification: Any) -> None:
        with self._lock:
            self._left -= len(notification[0]) if len(notification) == 1 else 1
            if self._left <= 0:
                self.complete.set()


def listen(transport: Any, count: int, batch: int) -> None:
    """Receive so many, and stop."""
    endpoint = Counting(count)
    make: Any = kafka_notify.get_notification_listener
    more = {}
    if batch:
        make, more = kafka_notify.get_batch_notification_listener, {"batch_size": batch}
    target = kafka_notify.Target(topic="t")
    listener = make(transport, [target], [endpoint], pool="p", **more)
    listener.start()
    assert endpoint.complete.wait(BOUND_S)
    listener.stop()
    listener.wait()


def each(calls: Callable[[int], Calls]) -> dict[tuple[str, str], float]:
    """Return how often each function is called for one notification."""
    few, many = calls(FEW), calls(MANY)
    return {name: (many[name] - few[name]) / (MANY - FEW) for name in many}


def sending(connect: Callable[..., Any], unique: str, query: str) -> dict[tuple[str, str], float]:
    """Count what it takes to send a notification."""

    def calls(count: int) -> Calls:
        with counted() as found, connect(f"{unique}-{count}", query) as transport:
            notify(transport, count)
        return found

    return each(calls)


def receiving(
    connect: Callable[..., Any], unique: str, query: str = "", batch: int = 0
) -> dict[tuple[str, str], float]:
    """Count what it takes to receive a notification."""

    def calls(count: int) -> Calls:
        with connect(f"{unique}-{count}", f"group_start=beginning&{query}") as transport:
            notify(transport, count)
            with counted() as found:
                listen(transport, count, batch)
        return found

    return each(calls)


@pytest.fixture
def connect() -> Callable[..., Any]:
    return lambda name, query: kafka_notify.get_notification_transport(
        url=f"memory://{name}/?{query}"
    )


def told(costs: dict[tuple[str, str], float]) -> str:
    """Return what is called most, for whoever has to find what has become dearer."""
    most = sorted(costs.items(), key=lambda item: -item[1])[:40]
    return "\n".join(f"{value:6.2f} {file}:{name}" for (file, name), value in most)


@pytest.mark.parametrize(("query", "bound"), [("", 36), ("delivery=confirm", 100)])
def test_sending(connect: Callable[..., Any], unique: str, query: str, bound: int) -> None:
    """A send calls no more functions than it did."""
    costs = sending(connect, unique, query)

    assert sum(costs.values()) <= bound, told(costs)


@pytest.mark.parametrize(
    ("query", "batch", "bound"),
    [
        ("", 0, 11),
        ("commit_policy=after_dispatch", 0, 14),
        ("", 100, 4),
        ("commit_policy=after_dispatch", 100, 5),
    ],
)
def test_receiving(
    connect: Callable[..., Any], unique: str, query: str, batch: int, bound: int
) -> None:
    """A hand-over to an endpoint calls no more functions than it did."""
    costs = receiving(connect, unique, query, batch)

    assert sum(costs.values()) <= bound, told(costs)


@pytest.mark.parametrize("query", ["", "commit_policy=after_dispatch"])
def test_nobody_is_woken_and_nothing_logged_for_each(
    connect: Callable[..., Any], unique: str, query: str
) -> None:
    """What wakes a thread, starts one or looks whether to log runs for groups, not for each."""
    costs = receiving(connect, unique, query)

    dear = {("threading.py", "notify"), ("threading.py", "start"), ("threading.py", "wait")}
    found = {name: value for name, value in costs.items() if name in dear or "logging" in name[0]}
    assert sum(found.values()) < 0.5, told(costs)


@pytest.mark.parametrize("query", ["", "commit_policy=after_dispatch"])
def test_memory_in_hand_does_not_grow_with_the_backlog(
    connect: Callable[..., Any], unique: str, query: str
) -> None:
    """A listener holds what its window allows, however much waits in the topic."""
    count, window = 8000, 200
    options = f"group_start=beginning&dispatch_window={window}&max_poll_records={window}"
    with connect(unique, f"{options}&{query}") as transport:
        notify(transport, count)
        tracemalloc.start()
        listen(transport, count, batch=0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    # 10 kB for each in hand, decoded; 250 bytes for each in the backlog would be too much.
    assert peak <= window * 10_000
