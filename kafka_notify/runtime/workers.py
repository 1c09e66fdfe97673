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
from kafka_notify.runtime.redelivery import Redelivery, Todo
from kafka_notify.runtime.stuck import Stuck


class Workers:
    """Run units side by side, those of one lane one after the other; see ``Hands``.

    ``run`` is called in up to ``limit`` threads, returns what is left to do of a unit, and must
    not raise. Threads are made when there is work for them.
    """

    def __init__(
        self,
        run: Callable[[Unit], Todo | None],
        *,
        limit: int,
        name: str,
        discards: bool = False,
        stuck: Stuck | None = None,
    ) -> None:
        """``discards`` tells that what has not begun may be dropped: it is not committed yet."""
        self._run = run
        self._limit = limit
        self._name = name
        self._ready: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._stuck = stuck
        self.account = InHand(discards=discards)
        self.on_finished: Callable[[Unit], None] | None = None
        self.redelivery: Redelivery | None = None

    def __repr__(self) -> str:
        """Tell how much is in hand, in how many threads."""
        return f"<Workers {self.account.total} records in hand, {len(self._threads)} threads>"

    @property
    def in_hand(self) -> int:
        """How many records were handed over and are not through their endpoints yet."""
        return self.account.total

    @property
    def busy(self) -> int:
        """How many of them take room; see ``InHand.busy``."""
        return self.account.busy

    def hand_over(self, units: Collection[Unit]) -> None:
        """Take units in their order. Never blocks. Threads: the listener's own."""
        for unit in self.account.add(units):
            self.start(unit)

    def start(self, unit: Unit) -> None:
        """Have a unit run by the next thread that is free."""
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
        todo: Todo | None = None
        try:
            if not self.account.discards or self.account.begin(unit):
                if self._stuck is not None:
                    self._stuck.begin(unit, threading.get_ident())
                todo = self._run(unit)
        except BaseException:
            following = self._finish(unit)
            if following is not None:
                self.start(following)
            raise
        finally:
            if self._stuck is not None:
                self._stuck.end(threading.get_ident())
        if todo is None or self.redelivery is None:
            return self._finish(unit)
        self.redelivery.take(unit, todo)
        return None

    def _finish(self, unit: Unit) -> Unit | None:
        """Account for a unit; return the next of its lane, so that one thread drains a lane."""
        if self.on_finished is not None:
            self.on_finished(unit)
        ready = self.account.finish(unit)
        for other in ready[1:]:
            self.start(other)
        return ready[0] if ready else None

    def finish(self, unit: Unit) -> None:
        """Account for a unit that has run earlier."""
        following = self._finish(unit)
        if following is not None:
            self.start(following)

    def wait_for_room(self, has_room: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until ``has_room``; tell whether that is so."""
        return self.account.wait_for_room(has_room, timeout_s)

    def drain(self, partitions: Iterable[Partition] | None, timeout_s: float) -> int:
        """Wait until no record of these partitions (None: any) is in hand; return those left."""
        if self.redelivery is not None:
            self.redelivery.hurry(partitions)
        return self.account.drain(partitions, timeout_s)

    def discard(self, partitions: Iterable[Partition] | None) -> int:
        """Drop what has not begun; see ``Hands``."""
        dropped = self.account.discard(partitions)
        if dropped and self.redelivery is not None:
            self.redelivery.drop_discarded()
        return dropped

    def abandon(self) -> None:
        """Forget the dead letters' producer in a child of fork."""
        if self.redelivery is not None:
            self.redelivery.after_fork_in_child()

    def problems(self) -> list[str]:
        """Return what is stuck, in words."""
        return self._stuck.problems() if self._stuck is not None else []

    def tell_stuck(self) -> None:
        """Report the endpoints that take too long."""
        if self._stuck is not None:
            self._stuck.tell()

    def is_mine(self, thread: threading.Thread) -> bool:
        """Tell whether ``thread`` is one of the workers."""
        return thread in self._threads

    def close(self, timeout_s: float) -> None:
        """End the threads; one that is still in an endpoint is left to end after it."""
        deadline = time.monotonic() + timeout_s
        if self.redelivery is not None:
            self.redelivery.close(timeout_s)
        for _ in self._threads:
            self._ready.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
