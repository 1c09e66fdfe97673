# SPDX-License-Identifier: Apache-2.0
"""The threads that call endpoints.

Not concurrent.futures: its threads are ended before exit hooks run, and what a listener has
committed must still reach its endpoints then. Nor is a thread woken for each record: as long as
endpoints are quick, one thread does the work of all without handing the interpreter about.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence

from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Partition
from kafka_notify.native import queue, threading, time
from kafka_notify.runtime.basehands import BaseHands
from kafka_notify.runtime.redelivery import Todo
from kafka_notify.runtime.stuck import Stuck

_PATIENCE_S = 0.005  # how long what may run waits for a thread that is in an endpoint
_LOOK_S = 0.0025  # between two looks at one that runs a line
_STALLED_S = 0.002
_SLOW_S = 0.0001  # an endpoint that takes longer may be waiting: others could run meanwhile
# What such a call adds to the score, of which a quick one takes 1. One alone says nothing: its
# thread may have waited for the interpreter.
_SLOW, _SLOWEST = 4, 16


class Workers(BaseHands):
    """Run units side by side, those of one lane one after the other; see ``Hands``.

    ``run`` is called in up to ``limit`` threads, returns what is left to do of a unit, and must
    not raise. Threads are made, and woken, when there is work that others do not get to.
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
        super().__init__(discards=discards, stuck=stuck)
        self._run = run
        self._limit = limit
        self._name = name
        self._ready: deque[Unit] = deque()
        self._done: deque[Unit] = deque()
        self._settling = threading.Lock()  # of whoever takes from _done
        self._lock = threading.Lock()  # of the threads and how many are awake
        self._wakeups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._borrowed: set[int] = set()  # others' threads that work as ours
        self._awake = 0
        self._score = 0  # above _SLOW while endpoints are slow
        self._taken_s = 0.0
        self._seen_s = 0.0  # what that was at the last look
        self._closed = False
        self._is_the_parents = False  # all that is in hand, here in a child of fork

    def __repr__(self) -> str:
        """Tell how much is in hand, in how many threads."""
        return f"<Workers {self.account.total} records in hand, {len(self._threads)} threads>"

    def hand_over(
        self, units: Collection[Unit], *, stays: bool = False
    ) -> Callable[[], None] | None:
        """Take units in their order; see ``Hands``. A thread that stays need not be woken."""
        if stays and self._score <= _SLOW and self.account.line_up(units):
            if self._borrow():
                return self._help
            if not self._awake or self._is_line_stalled():
                self._spread_line()
            return None
        ready = self.account.add(units)
        if not ready:
            return None
        if stays and self._borrow():
            self._ready.extend(ready)
            return self._help
        self._start_all(ready)
        return None

    def start(self, unit: Unit) -> None:
        """Have a unit run by the next thread that is free."""
        self._start_all((unit,))

    def _start_all(self, units: Sequence[Unit]) -> None:
        self._ready.extend(units)
        if not units:
            return
        if not self._awake or self._score > _SLOW or self._is_stalled():
            self._wake_one()

    # --- how many threads are awake

    @property
    def patience_s(self) -> float:
        """How long ``spread`` may wait: as long as nobody waits for a thread, for ever."""
        if self._ready:
            return _PATIENCE_S
        return _LOOK_S if self.account.has_line else float("inf")

    def spread(self) -> None:
        """Wake a further thread if those awake do not get to what may run."""
        if self._ready and self._is_stalled():
            self._wake_one()
        elif self.account.has_line and self._is_line_stalled():
            self._spread_line()

    def _spread_line(self) -> None:
        """Have those who have lined up run side by side."""
        self._start_all(self.account.spread())

    def _is_stalled(self) -> bool:
        return time.monotonic() - self._taken_s > _STALLED_S

    def _is_line_stalled(self) -> bool:
        """Tell whether its thread is where it was at the last look.

        Once says nothing: it may have had to leave the interpreter to the one that looks.
        """
        seen_s, self._seen_s = self._seen_s, self._taken_s
        return self._seen_s == seen_s and self._is_stalled()

    def _wake_one(self) -> None:
        if self._awake >= self._limit:
            return
        with self._lock:
            if self._asleep > 0:
                self._awake += 1
                self._wakeups.put(None)
            elif self._awake < self._limit:
                thread = threading.Thread(
                    target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True
                )
                self._threads.append(thread)
                self._awake += 1
                thread.start()

    def _borrow(self) -> bool:
        """Have the calling thread work as one of ours if none of them is awake."""
        with self._lock:
            if self._awake or self._closed:
                return False
            self._awake += 1
            self._borrowed.add(threading.get_ident())
        return True

    def _help(self) -> None:
        """Work in a borrowed thread, until others are enough."""
        thread_id = threading.get_ident()
        try:
            self._run_all(thread_id)
        finally:
            with self._lock:
                if thread_id in self._borrowed:  # closed meanwhile, or ended by an error
                    self._borrowed.remove(thread_id)
                    self._awake -= 1

    @property
    def _asleep(self) -> int:
        """How many of its own threads are; to be asked under the lock."""
        return len(self._threads) - (self._awake - len(self._borrowed))

    def _work(self) -> None:
        thread_id = threading.get_ident()
        while not self._closed or self._may_run:
            self._run_all(thread_id)
            if not self._closed:
                self._wakeups.get()

    def _run_all(self, thread_id: int) -> None:
        """Run what may run, until nothing may or others are enough."""
        try:
            while True:
                if self.account.is_line_open:
                    self._run_line(thread_id)
                unit = self._next()
                while unit is not None:
                    if self._score > _SLOW and self._ready:
                        self._wake_one()
                    unit = self._take_turns(self._run_one(unit, thread_id))
                if not self._stays(thread_id):
                    return
        finally:
            self._rests(thread_id)

    def _run_line(self, thread_id: int) -> None:
        """Run those that have lined up, until all are through, or are to be run side by side."""
        account, run = self.account, self._run
        running = {} if self._stuck is None else self._stuck.running
        unit = account.next_in_line()
        now_s = time.monotonic()
        while unit is not None:
            todo: Todo | None = None
            self._taken_s = began_s = now_s
            try:
                if unit.records:
                    running[thread_id] = (unit, began_s)
                    todo = run(unit)
            except BaseException:
                self._spread_line()
                self.finish(unit)
                raise
            now_s = time.monotonic()
            if self._score or now_s - began_s > _SLOW_S:
                self._rate(now_s - began_s)
            if self._score > 2 * _SLOW or todo is not None:
                self._spread_line()
            if todo is not None and self.redelivery is not None:
                self.redelivery.take(unit, todo)
                return
            if self.on_finished is not None:
                self.on_finished(unit)
            following = account.next_in_line(unit)
            if following is unit:
                self._go_on(self._account_for(unit))
                return
            unit = following

    @property
    def _may_run(self) -> bool:
        """Whether there is something for a thread that has nothing to do."""
        return bool(self._ready) or self.account.is_line_open

    def _next(self) -> Unit | None:
        try:
            return self._ready.popleft()
        except IndexError:
            return None

    def _take_turns(self, following: Unit | None) -> Unit | None:
        """Have what follows in a lane queue behind other lanes; return whose turn it is.

        A thread that stayed with its lane would keep others from theirs, and all threads but one
        idle at the end of a backlog.
        """
        if following is None or not self._ready:
            return None if self._is_the_parents else following
        self._ready.append(following)
        return self._next()

    def _rests(self, thread_id: int) -> None:
        # Not after each unit: the next one replaces it.
        if self._stuck is not None:
            self._stuck.end(thread_id)

    def _stays(self, thread_id: int) -> bool:
        """Tell whether to go on; if nothing may run, or others are enough, count as asleep."""
        if self._may_run and (self._awake == 1 or self._score > _SLOW):
            return True
        self._rests(thread_id)
        with self._lock:
            if self._closed:
                return self._may_run
            # First the count, then the look: whoever starts something does it the other way.
            self._awake -= 1
            if self._may_run and (not self._awake or self._score > _SLOW):
                self._awake += 1
                return True
            self._borrowed.discard(thread_id)
        return False

    def _run_one(self, unit: Unit, thread_id: int) -> Unit | None:
        """Run a unit and return the next of its lane; an account is closed whatever happens."""
        todo: Todo | None = None
        self._taken_s = began_s = time.monotonic()
        try:
            if not self.account.discards or self.account.begin(unit):
                if self._stuck is not None:
                    self._stuck.begin(unit, thread_id, began_s)
                todo = self._run(unit)
        except BaseException:
            self.finish(unit)
            raise
        finally:
            self._rate(time.monotonic() - began_s)
        if todo is None or self.redelivery is None:
            return self._finish(unit)
        self._spread_line()  # or it would wait for what is set aside
        self.redelivery.take(unit, todo)
        return None

    def _rate(self, took_s: float) -> None:
        if took_s > _SLOW_S:
            self._score = min(_SLOWEST, self._score + _SLOW)
        elif self._score > 0:
            self._score -= 1

    def _finish(self, unit: Unit) -> Unit | None:
        """Tell of a unit that is done, and account for it."""
        if self.on_finished is not None:
            self.on_finished(unit)
        return self._account_for(unit)

    def _account_for(self, unit: Unit) -> Unit | None:
        """Account for a unit; return what may run now, most often the next of its lane.

        Whoever is at it accounts for what others have done meanwhile as well: a hundred threads
        that wait for one lock hand the interpreter about for each record.
        """
        self._done.append(unit)
        following: Unit | None = None
        # Looked at again after the release: who came in vain until then relies on it.
        while self._done and self._settling.acquire(blocking=False):
            try:
                done = [self._done.popleft() for _ in range(len(self._done))]
                ready = self.account.finish(done)
            finally:
                self._settling.release()
            if ready and following is None:
                following = ready.pop(0)
            if ready:
                self._start_all(ready)
        return following

    def finish(self, unit: Unit) -> None:
        """Account for a unit that has run earlier."""
        self._go_on(self._finish(unit))

    def _go_on(self, following: Unit | None) -> None:
        if self._is_the_parents:
            return
        if following is not None:
            self.start(following)
        elif self.account.is_line_open and not self._awake:
            self._wake_one()

    def wait_for_room(self, room: Callable[[], int], timeout_s: float) -> bool:
        """Wait until there is ``room``; tell whether that is so."""
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            if self.account.wait_for_room(room, min(left_s, self.patience_s)):
                return True
            if not left_s:
                return False
            self.spread()

    def drain(self, partitions: Iterable[Partition] | None, timeout_s: float) -> int:
        """Wait until no record of these partitions (None: any) is in hand; return those left."""
        if self.redelivery is not None:
            self.redelivery.hurry(partitions)
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            left = self.account.drain(partitions, min(left_s, self.patience_s))
            if not left or not left_s:
                return left
            self.spread()

    def is_mine(self, thread: threading.Thread) -> bool:
        """Tell whether ``thread`` is one of the workers."""
        return thread in self._threads or thread.ident in self._borrowed

    def after_fork_in_child(self) -> None:
        """Leave to the parent what is in hand, also in the endpoint's thread that has forked."""
        super().after_fork_in_child()
        self._lock = threading.Lock()
        self._closed = self._is_the_parents = True
        self._ready.clear()

    def close(self, timeout_s: float) -> None:
        """End the threads; one that is still in an endpoint is left to end after it."""
        deadline = time.monotonic() + timeout_s
        super().close(timeout_s)
        with self._lock:
            self._closed = True
            asleep = self._asleep
            self._awake += asleep
        for _ in range(asleep):
            self._wakeups.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        if self._borrowed and not self.is_mine(threading.current_thread()):
            self.account.drain(None, max(0.0, deadline - time.monotonic()))
