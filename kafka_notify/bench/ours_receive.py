# SPDX-License-Identifier: Apache-2.0
"""How we receive: as quickly as it goes, under load, with slow endpoints, and the first time."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import kafka_notify
from kafka_notify.bench.child import (
    WAIT_S,
    Arrivals,
    Figures,
    Stopwatch,
    Task,
    percentiles,
)
from kafka_notify.bench.ours_client import listen, open_transport

_IDLE_S = 2.0


class _Counting:
    """An endpoint that only counts."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._add = arrivals.add

    def info(self, *_notification: Any) -> None:
        """Count one."""
        self._add()


class _CountingBatches:
    """A batch endpoint that only counts."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._add = arrivals.add

    def info(self, notifications: list[Any]) -> None:
        """Count them."""
        self._add(len(notifications))


class _Unwanted:
    """An endpoint whose filter lets nothing through."""

    def __init__(self, number: int) -> None:
        self.filter_rule = kafka_notify.NotificationFilter(event_type=rf"never\.{number}\.sent$")

    def info(self, *_notification: Any) -> None:
        """Be called for nothing."""
        raise AssertionError("the filter let something through")


def _endpoints(task: Task, arrivals: Arrivals) -> Sequence[Any]:
    counting = _CountingBatches if task.options.get("batch") else _Counting
    unwanted = [_Unwanted(number) for number in range(1, int(task.options.get("endpoints", 1)))]
    return [*unwanted, counting(arrivals)]


def receive(task: Task) -> Figures:
    """Receive what topics hold; from the first to the last notification at the endpoint.

    Options: those of ``listen``; ``endpoints``, all but the last with a filter that lets nothing
    through; ``shared``, when other processes of the pool get some of it.
    """
    arrivals = Arrivals(task.count)
    shared = task.options.get("shared")
    with open_transport(task, group_start="beginning") as transport:
        watch = Stopwatch()
        listener = listen(transport, task, _endpoints(task, arrivals))
        start_ms = watch.stop(1)["seconds"] * 1000
        task.announce()
        figures = arrivals.wait_until_idle(_IDLE_S) if shared else arrivals.wait()
        listener.stop()
    return {**figures, "start_ms": start_ms}


def delays(task: Task) -> Figures:
    """Receive what another process sends at a rate; from when it was due to the endpoint."""
    taken: list[float] = []
    arrivals = Arrivals(task.count)

    class Clock:
        def info(self, _c: Any, _p: Any, _e: Any, payload: dict[str, Any], _m: Any) -> None:
            if payload["due_s"]:
                taken.append(time.monotonic() - payload["due_s"])
                arrivals.add()

    with open_transport(task, group_start="beginning") as transport:
        listener = listen(transport, task, [Clock()])
        task.announce()
        figures = arrivals.wait()
        listener.stop()
    return figures | percentiles(taken)


def pausing(task: Task) -> Figures:
    """Receive with an endpoint that sleeps for as long as each notification says.

    From the first call of the endpoint to the end of the last. With ``coroutines`` it is a
    coroutine function.
    """
    arrivals = Arrivals(task.count)
    began: list[Stopwatch] = []
    lock = threading.Lock()

    def begin() -> None:
        if not began:
            with lock:
                began.append(Stopwatch())

    class Pausing:
        def info(self, _c: Any, _p: Any, _e: Any, payload: dict[str, Any], _m: Any) -> None:
            begin()
            time.sleep(payload["pause_s"])
            arrivals.add()

    class PausingInLoop:
        async def info(self, _c: Any, _p: Any, _e: Any, payload: dict[str, Any], _m: Any) -> None:
            begin()
            await asyncio.sleep(payload["pause_s"])
            arrivals.add()

    pausing = PausingInLoop() if task.options.get("coroutines") else Pausing()
    with open_transport(task, group_start="beginning") as transport:
        listener = listen(transport, task, [pausing])
        arrivals.wait()
        figures = began[0].stop(task.count)
        listener.stop()
    return figures


def first_received(task: Task) -> Figures:
    """Receive one that is there; from the start of the process until the endpoint has it."""
    arrived = threading.Event()

    class First:
        def info(self, *_notification: Any) -> None:
            arrived.set()

    with open_transport(task, group_start="beginning") as transport:
        listener = listen(transport, task, [First()])
        if not arrived.wait(WAIT_S):
            sys.exit("no notification arrived")
        figures = {"first_ms": task.since_spawned_s() * 1000}
        listener.stop()
    return figures
