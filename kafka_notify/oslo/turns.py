# SPDX-License-Identifier: Apache-2.0
"""Which thread of oslo.messaging's executor runs what waited for a notification that is settled.

The one that settled it, for a turn of some milliseconds: for the executor to hand one job from
thread to thread takes 54 µs of CPU (least of many, jobs that do nothing, 64 threads).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from oslo_messaging.notify.listener import NotificationServerBase

from kafka_notify import native
from kafka_notify.native import threading, time

_TURN_S = 0.005  # the interpreter's own switch interval: until then others would not run anyway

_Incoming = TypeVar("_Incoming")
_Callback = Callable[[list[_Incoming]], object]


def turns_of(on_incoming: _Callback[_Incoming]) -> _Callback[_Incoming]:
    """Return what a thread that has settled a notification, as its last deed, calls with the next.

    Where that is no thread of oslo.messaging's own notification server, or a green one, it is
    ``on_incoming``, which has the executor run it.
    """
    server = getattr(on_incoming, "__self__", None)
    # Not of its public interface: a release without it has the executor run everything.
    run = getattr(server, "_process_incoming", None)
    if native.PATCHED or run is None or not isinstance(server, NotificationServerBase):
        return on_incoming
    return Turns(run=run, submit=on_incoming)


class _Turn(threading.local):
    """What one thread is at."""

    ends_s: float | None = None  # None: it runs what the executor gave it
    following: list[Any] | None = None


class Turns:
    """Run one after the other in the thread that calls; leave the rest to the executor.

    An endpoint that is not quick ends its thread's turn, so that whatever waits in the executor's
    queue waits for one of them at most. Threads: the executor's. Raises what ``submit`` does.
    """

    def __init__(
        self, *, run: _Callback[Any], submit: _Callback[Any], turn_s: float = _TURN_S
    ) -> None:
        """``run`` calls endpoints, and then this object again; ``submit`` does so later."""
        self._run = run
        self._submit = submit
        self._turn_s = turn_s
        self._turn = _Turn()

    def __call__(self, incoming: list[Any]) -> None:
        """Have these notifications run, in this thread or in another one."""
        turn = self._turn
        if turn.ends_s is None:
            self._take_turn(turn, incoming)
        elif turn.following is None and time.monotonic() < turn.ends_s:
            turn.following = incoming
        else:
            self._submit(incoming)

    def _take_turn(self, turn: _Turn, incoming: list[Any]) -> None:
        turn.ends_s = time.monotonic() + self._turn_s
        turn.following = incoming
        try:
            while (following := turn.following) is not None:
                turn.following = None
                self._run(following)
        finally:  # an endpoint may end its thread
            turn.ends_s = turn.following = None
