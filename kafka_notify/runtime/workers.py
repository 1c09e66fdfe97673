# SPDX-License-Identifier: Apache-2.0
"""The threads that call endpoints.

Not concurrent.futures: its threads are ended before exit hooks run, and what a listener has
committed must still reach its endpoints then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable

from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Partition
from kafka_notify.native import queue, threading
from kafka_notify.runtime.inhand import InHand


class Workers:
    """Run units side by side, those of one lane one after the other; see ``Hands``.

    ``run`` is called in up to ``limit`` threads and must not raise. Threads are made when there is
    work for them.
    """

    def __init__(self, run: Callable[[Unit], None], *, limit: int, name: str) -> None:
        self._run = run
        self._limit = limit
        self._name = name
        self._ready: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._account = InHand()

    def __repr__(self) -> str:
        """Tell how many records are in hand, in how many threads."""
        return f"<Workers {self._account.total} records in hand, {len(self._threads)} threads>"

    @property
    def in_hand(self) -> int:
        """How many records were handed over and are not through their endpoints yet."""
        return self._account.total

    def hand_over(self, units: Collection[Unit]) -> None:
        """Take committed units in their order. Never blocks. Threads: the listener's own."""
        for unit in self._account.add(units):
            self._start(unit)

    def _start(self, unit: Unit) -> None:
        self._ready.put(unit)
        if self._idle.acquire(blocking=False) or len(self._threads) >= self._limit:
            return
        thread = threading.Thread(
            target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while True:
            unit: Unit | None
            try:
                unit = self._ready.get_nowait()
            except queue.Empty:
                self._idle.release()
                unit = self._ready.get()
            if unit is None:
                return
            while unit is not None:
                unit = self._run_one(unit)

    def _run_one(self, unit: Unit) -> Unit | None:
        """Run a unit and return the next of its lane; an account is closed whatever happens."""
        try:
            self._run(unit)
        except BaseException:
            following = self._finish(unit)
            if following is not None:
                self._start(following)
            raise
        return self._finish(unit)

    def _finish(self, unit: Unit) -> Unit | None:
        """Account for a unit; return the next of its lane, so that one thread drains a lane."""
        ready = self._account.finish(unit)
        for other in ready[1:]:
            self._start(other)
        return ready[0] if ready else None

    def wait_for_room(self, at_most: int, timeout_s: float) -> bool:
        """Wait until at most ``at_most`` records are in hand; tell whether that is so."""
        return self._account.wait_for_room(at_most, timeout_s)

    def drain(self, partitions: Iterable[Partition] | None, timeout_s: float) -> int:
        """Wait until no record of these partitions (None: any) is in hand; return those left."""
        return self._account.drain(partitions, timeout_s)

    def is_mine(self, thread: threading.Thread) -> bool:
        """Tell whether ``thread`` is one of the workers."""
        return thread in self._threads

    def close(self, timeout_s: float) -> None:
        """End the threads; one that is still in an endpoint is left to end after it."""
        deadline = time.monotonic() + timeout_s
        for _ in self._threads:
            self._ready.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
