# SPDX-License-Identifier: Apache-2.0
"""Which of two threads goes on with a listener's intake: the other runs what it has brought.

To wake a thread takes a good part of what a notification takes from Kafka to its endpoint. So the
thread that has a record runs it, and the one that is woken takes over what it did: nobody waits
for that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from kafka_notify.native import threading

_THREADS = 2


class Relief:
    """A work that is done by one thread at a time, and goes on while another runs an errand.

    What the work yields is called by the thread that has got it; meanwhile a second thread, made
    for the first of them, goes on with the work. So it never waits for an errand, as long as it
    yields none while another runs. An errand that raises ends its thread, and no more: another is
    made for the next one.
    """

    def __init__(self, work: Iterator[Callable[[], None]], *, name: str) -> None:
        self._work = work
        self._name = name
        self._turn = threading.Lock()  # who has it does the work; it hands on what was done, too
        self._over = threading.Event()
        self._worker: threading.Thread | None = None
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

    def join(self, timeout_s: float) -> None:
        """Wait until the work has ended, and the threads but for one that is in an errand.

        Returns at once when called by the work itself. Threads: any.
        """
        me = threading.current_thread()
        if me is self._worker or not self._over.wait(timeout_s):
            return
        for thread in list(self._threads):
            if thread is not me and thread not in self._on_errands:
                thread.join(timeout_s)

    def abandon(self) -> None:
        """Count as ended in a child of fork, also for an errand that has forked and returns."""
        self._turn = threading.Lock()
        self._work = iter(())
        self._over = threading.Event()
        self._over.set()
        self._threads = set()

    def _take_turns(self) -> None:
        me = threading.current_thread()
        try:
            while (errand := self._next(me)) is not None:
                errand()
                self._on_errands.discard(me)
        finally:
            self._threads.discard(me)
            self._on_errands.discard(me)

    def _next(self, me: threading.Thread) -> Callable[[], None] | None:
        """Work, when it is this thread's turn, until there is an errand; None: it is all done."""
        with self._turn:
            self._worker = me
            errand: Callable[[], None] | None = None
            try:
                errand = next(self._work, None)
            finally:
                self._worker = None
                if errand is None:
                    self._over.set()
            if errand is not None:
                self._on_errands.add(me)
                if len(self._threads) < _THREADS:
                    # If the system has no more threads, the work waits for this errand.
                    with contextlib.suppress(RuntimeError):
                        self.start()
            return errand
