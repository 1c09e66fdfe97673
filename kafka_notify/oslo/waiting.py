# SPDX-License-Identifier: Apache-2.0
"""Waiting for other threads, in a thread of the operating system or in a green one of eventlet.

A green thread that waits for a real one the usual way would stop all the others with it.
"""

from __future__ import annotations

import contextlib
import threading as green_or_real
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

from kafka_notify import native
from kafka_notify.native import os, threading
from kafka_notify.runtime.handover import Bell

_P = ParamSpec("_P")
_T = TypeVar("_T")

_LOOK_S = 60.0
_CLOSE_S = 1.0
_MOST_ASIDE = 64


class NativeBell:
    """For a thread of the operating system."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def silence(self) -> None:
        """Forget earlier rings."""
        self._event.clear()

    def wait(self, timeout_s: float) -> None:
        """Block the thread until a ring."""
        self._event.wait(timeout_s)

    def ring(self) -> None:
        """Set the event."""
        self._event.set()


class _NoRing(Exception):
    """Raised in a green thread that has waited long enough."""


class GreenBell:
    """For a green thread: the hub watches a pipe, so that others run; any real thread may ring."""

    def __init__(self) -> None:
        self._pipe = _Pipe()
        weakref.finalize(self, self._pipe.close).atexit = False  # threads ring to the last

    def silence(self) -> None:
        """Empty the pipe."""
        self._pipe.empty()

    def wait(self, timeout_s: float) -> None:
        """Let other green threads run until a ring."""
        from eventlet import hubs

        with contextlib.suppress(_NoRing):
            hubs.trampoline(self._pipe.reader, read=True, timeout=timeout_s, timeout_exc=_NoRing)

    def ring(self) -> None:
        """Write to the pipe; a full one rings already."""
        self._pipe.write()

    def close(self) -> None:
        """Release the pipe; whoever rings afterwards does nothing. Idempotent."""
        self._pipe.close()


class _Pipe:
    """Two descriptors that are never written to once they may be somebody else's."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)
        self._lock = threading.Lock()
        self._closed = False

    def empty(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.reader, 4096):
                pass

    def write(self) -> None:
        with self._lock, contextlib.suppress(BlockingIOError):
            if not self._closed:
                os.write(self._writer, b"!")

    def close(self) -> None:
        # Bounded: in a child of fork the lock may be held by a thread that is not there.
        if self._lock.acquire(timeout=_CLOSE_S):
            try:
                if not self._closed:
                    self._closed = True
                    os.close(self.reader)
                    os.close(self._writer)
            finally:
                self._lock.release()


def new_bell() -> Bell:
    """Return the bell for a thread that polls in this process."""
    return GreenBell() if native.PATCHED else NativeBell()


class _Asides(threading.local):
    """What one thread of the operating system knows of the calls that it waits for, or runs."""

    def __init__(self) -> None:
        self.on_behalf_of: int | None = None  # the green thread that waits for this one
        self.places: Any = None

    def place(self) -> Any:
        """Return the semaphore of this thread's hub."""
        if self.places is None:
            from eventlet.semaphore import Semaphore

            self.places = Semaphore(_MOST_ASIDE)
        return self.places


_asides = _Asides()


def _forget_asides() -> None:
    _asides.places = None


if native.PATCHED:
    # In a child the threads that hold places do not exist.
    os.register_at_fork(after_in_child=_forget_asides)


def current_thread_id() -> int:
    """Return what tells this thread, green or not, from all others that live.

    In a call that runs aside it is the thread that waits for it.
    """
    return _asides.on_behalf_of or green_or_real.get_ident()


def aside(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Return what ``function`` returns, or raise what it raises; other green threads go on.

    In a process without eventlet, and in a thread that runs aside already, it is simply called.
    At most 64 run at a time, more wait their turn. A green thread that is ended while it waits
    (``eventlet.Timeout``) leaves the call to end by itself. eventlet's own thread pool is not
    used: its threads do not survive a fork, and services fork.
    """
    if not native.PATCHED or _asides.on_behalf_of is not None:
        return function(*args, **kwargs)
    place = _asides.place()
    place.acquire()
    release = place.release
    try:
        call = _Call(lambda: function(*args, **kwargs))
        try:
            call.wait()
        except BaseException:
            release = partial(_spawn, call.wait_and_then, release)
            raise
    finally:
        release()
    return cast(_T, call.outcome())


def _spawn(function: Callable[..., Any], *args: Any) -> None:
    import eventlet

    eventlet.spawn(function, *args)


class _Call:
    """One call that runs aside."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._caller = current_thread_id()
        self._bell = GreenBell()
        self._done = False
        self._result: Any = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="kafka-notify-aside", daemon=True).start()

    def _run(self) -> None:
        _asides.on_behalf_of = self._caller
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self._error = error
        self._done = True
        self._bell.ring()

    def wait(self) -> None:
        """Wait until it is done; when it is done already, let others have their turn."""
        self._bell.wait(_LOOK_S)
        while not self._done:
            self._bell.wait(_LOOK_S)

    def wait_and_then(self, function: Callable[[], object]) -> None:
        """Wait for a call that nobody wants any more."""
        self.wait()
        self._bell.close()
        function()

    def outcome(self) -> Any:
        """Return or raise what the call did, once."""
        self._bell.close()
        error, self._error = self._error, None  # or it would hold itself, by its traceback
        if error is not None:
            raise error
        return self._result
