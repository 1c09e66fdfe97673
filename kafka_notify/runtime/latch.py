# SPDX-License-Identifier: Apache-2.0
"""An event for which a thread waits that handles signals, and which its handlers may set."""

from __future__ import annotations

from contextlib import suppress

from kafka_notify.native import queue

_LOOK_S = 0.5


class Latch:
    """``threading.Event``, but for what signals do to it. Threads: any.

    A signal that comes after the interpreter's last look, and before the thread sleeps, wakes
    nobody: its handler runs when the thread wakes, so here it does so now and then. And a handler
    that sets an ``Event`` while its own thread holds the event's lock would wait for itself.
    """

    def __init__(self) -> None:
        self._is_set = False
        # Its put is the one call of Python's queues and locks that a handler may make anywhere.
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def is_set(self) -> bool:
        """Tell whether it is."""
        return self._is_set

    def set(self) -> None:
        """Let all who wait go on. Never blocks."""
        self._is_set = True
        self._ring()

    def clear(self) -> None:
        """Have it not set."""
        self._is_set = False

    def wait(self) -> None:
        """Return once it is set; handlers of signals run half a second late at most."""
        while not self._is_set:
            with suppress(queue.Empty):
                self._rings.get(timeout=_LOOK_S)
        self._ring()  # another may wait

    def _ring(self) -> None:
        if self._rings.empty():  # or one is there for the next who waits, and he rings on
            self._rings.put(None)
