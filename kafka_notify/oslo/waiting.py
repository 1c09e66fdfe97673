# SPDX-License-Identifier: Apache-2.0
"""Waiting for other threads, in a thread of the operating system or in a green one of eventlet.

A green thread that waits for a real one the usual way would stop all the others with it.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from kafka_notify import native
from kafka_notify.native import os, threading

_P = ParamSpec("_P")
_T = TypeVar("_T")

_LOOK_S = 60.0


class Bell(Protocol):
    """One waits; anybody rings. A ring after ``silence`` ends the next wait at once."""

    def silence(self) -> None:
        """Forget earlier rings. Threads: the one that waits."""

    def wait(self, timeout_s: float) -> None:
        """Wait for a ring, at most so long."""

    def ring(self) -> None:
        """End the wait. Never blocks. Threads: any."""


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
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        # Not at exit: threads that still run ring to the last.
        weakref.finalize(self, _close, self._reader, self._writer).atexit = False

    def silence(self) -> None:
        """Empty the pipe."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                pass

    def wait(self, timeout_s: float) -> None:
        """Let other green threads run until a ring."""
        from eventlet import hubs

        with contextlib.suppress(_NoRing):
            hubs.trampoline(self._reader, read=True, timeout=timeout_s, timeout_exc=_NoRing)

    def ring(self) -> None:
        """Write to the pipe; a full one rings already."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"!")


def _close(*descriptors: int) -> None:
    for one in descriptors:
        os.close(one)


def new_bell() -> Bell:
    """Return the bell for a thread that polls in this process."""
    return GreenBell() if native.PATCHED else NativeBell()


def aside(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Return what ``function`` returns, or raise what it raises; other green threads go on.

    In a process without eventlet it is simply called. eventlet's own thread pool is not used: its
    threads do not survive a fork, and services fork.
    """
    if not native.PATCHED:
        return function(*args, **kwargs)
    bell = GreenBell()
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            errors.append(error)
        bell.ring()

    threading.Thread(target=run, name="kafka-notify-aside", daemon=True).start()
    bell.wait(_LOOK_S)  # also when all is done already: others get their turn
    while not results and not errors:
        bell.wait(_LOOK_S)
    if errors:
        raise errors[0]
    result: _T = results[0]
    return result
