# SPDX-License-Identifier: Apache-2.0
"""Which of two threads goes on with a listener's intake: the other runs what it has brought.

To wake a thread takes a good part of what a notification takes from Kafka to its endpoint. So the
thread that has a record commits it, and runs it, and the one that is woken takes over what it did:
nobody waits for that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kafka_notify.native import threading, time

_THREADS = 2
_LOOK_S = 0.5  # how late a thread that hangs may be noticed


@dataclass(frozen=True, slots=True)
class Held:
    """What the thread runs in the midst of the work, which goes on after it.

    If that takes longer than ``within_s`` the other thread goes on instead, and this one ends when
    it comes back.
    """

    run: Callable[[], None]
    within_s: float


Errand = Callable[[], None] | Held


class Relief:
    """A work that is done by one thread at a time, and goes on while another runs an errand.

    What the work yields is called by the thread that has got it; meanwhile a second thread, made
    for the first of them, goes on with the work. So it never waits for an errand, as long as it
    yields none while another runs; of one that is ``Held`` it waits for the end, or so long. An
    errand that raises ends its thread, and no more: another is made for the next one.
    """

    def __init__(self, work: Iterator[Errand], *, name: str) -> None:
        self._work = work
        self._name = name
        # Who has the turn does the work; its lock hands on what was done, too.
        self._turn = threading.Lock()
        self._worker: threading.Thread | None = None
        self._claims = threading.Lock()  # of the two below, where both may claim the turn
        self._due_s: float | None = None  # when it may be taken from a thread that hangs
        self._over = threading.Event()
        self._threads: set[threading.Thread] = set()
        self._on_errands: set[threading.Thread] = set()

    def start(self) -> None:
        """Begin with the work. Returns at once."""
        thread = threading.Thread(target=self._take_turns, name=self._name, daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:
            self._threads.discard(thread)
            raise

    def is_alive(self) -> bool:
        """Tell whether the work has begun, and not ended. An errand may outlast it."""
        return bool(self._threads) and not self._over.is_set()

    def has_deputy(self) -> bool:
        """Tell the work whether another thread is there, and free; make it if there is none."""
        if len(self._threads) < _THREADS:
            with contextlib.suppress(RuntimeError):  # the system has no more
                self.start()
        return len(self._threads) == _THREADS and not self._on_errands

    def join(self, timeout_s: float) -> None:
        """Wait until the work has ended, and the threads but for one that is in an errand.

        Returns at once when called by the work itself. Threads: any.
        """
        me = threading.current_thread()
        if not self._threads or me is self._worker or not self._over.wait(timeout_s):
            return
        for thread in list(self._threads):
            if thread is not me and thread not in self._on_errands:
                thread.join(timeout_s)

    def abandon(self) -> None:
        """Count as ended in a child of fork, also for an errand that has forked and returns."""
        self._work = iter(())
        self._over = threading.Event()
        self._over.set()
        self._threads = set()

    # --- the threads

    def _take_turns(self) -> None:
        me = threading.current_thread()
        try:
            while me in self._threads and self._waits_for_turn(me):
                errand = self._do_work(me)
                if errand is not None:
                    errand()
                    self._on_errands.discard(me)
        finally:
            self._threads.discard(me)
            self._on_errands.discard(me)

    def _waits_for_turn(self, me: threading.Thread) -> bool:
        """Wait for the turn; tell whether there is something left to do."""
        while not self._turn.acquire(timeout=_LOOK_S):
            if self._takes_over(me):
                return True
        if self._over.is_set():
            self._turn.release()
            return False
        self._worker = me
        return True

    def _takes_over(self, me: threading.Thread) -> bool:
        """Take the turn from a thread that hangs; tell whether it did."""
        with self._claims:
            if self._due_s is None or time.monotonic() < self._due_s:
                return False
            self._due_s = None
            if self._worker is not None:
                self._threads.discard(self._worker)  # another is made in its place
            self._worker = me
            return True

    def _do_work(self, me: threading.Thread) -> Callable[[], None] | None:
        """Work until there is something to do beside it, and pass the turn on; return that."""
        errand: Errand | None = None
        try:
            while isinstance(errand := next(self._work, None), Held):
                if not self._holds(errand, me):
                    return None
        except BaseException:
            if self._worker is me:
                self._pass_on(me, None)
            raise
        self._pass_on(me, errand)
        return errand

    def _holds(self, held: Held, me: threading.Thread) -> bool:
        """Run something in the midst of the work; tell whether the turn is still this thread's."""
        with self._claims:
            self._due_s = time.monotonic() + held.within_s
        try:
            held.run()
        finally:
            with self._claims:
                if self._worker is me:
                    self._due_s = None
        return self._worker is me

    def _pass_on(self, me: threading.Thread, errand: Callable[[], None] | None) -> None:
        self._worker = None
        if errand is None:
            self._over.set()
        else:
            self._on_errands.add(me)
            # If the system has no more threads, the work waits for this errand.
            self.has_deputy()
        self._turn.release()
