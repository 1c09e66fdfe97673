# SPDX-License-Identifier: Apache-2.0
"""Leaving the process without losing anything: exit hooks, and a helper for signals."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from kafka_notify.errors import ConfigurationError

# The higher goes first: endpoints that still run when a listener ends may send.
LISTENERS_TURN = 200
SENDERS_TURN = 100

_AGAIN_S = 0.05
_watched: set[type[BaseException]] = set()


def exit_cleanly_on(*signals: signal.Signals) -> None:
    """Make these signals (SIGTERM if none is named) end the process as ``sys.exit`` does.

    Python's default for SIGTERM ends at once, and what waits to be sent is lost. After this call
    the main thread raises SystemExit with 128 + the signal's number, so ``finally`` blocks, exit
    hooks and with them the bounded flush of every transport run.

    Raises ConfigurationError outside the main thread, where Python allows no signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ConfigurationError(
            "exit_cleanly_on: signal handlers can be set in the main thread only"
        )
    raise_again_if_ignored(_Exit)
    for number in signals or (signal.SIGTERM,):
        signal.signal(number, _exit)


class _Exit(SystemExit):
    """Raised by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal_number = number


def _exit(number: int, _frame: FrameType | None) -> None:
    raise _Exit(number)


def raise_again_if_ignored(kind: type[BaseException]) -> None:
    """Have a signal sent again whose exception the interpreter has ignored.

    A handler may run inside a callback of the interpreter, such as those that end the locks of
    imports: what it raises there is printed and forgotten. Instances of ``kind`` have the
    ``signal_number``. Idempotent.
    """
    if kind in _watched:
        return
    _watched.add(kind)
    before = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        ignored = unraisable.exc_value
        if isinstance(ignored, kind):
            # Later, and so in other code: here it would be ignored, too.
            number = ignored.signal_number  # type: ignore[attr-defined]
            main_thread = threading.main_thread().ident
            again = threading.Timer(_AGAIN_S, signal.pthread_kill, (main_thread, number))
            again.daemon = True
            again.start()
        else:
            before(unraisable)

    sys.unraisablehook = hook


def call_at_worker_exit(
    function: Callable[[], object], *, turn: int
) -> Callable[[], object] | None:
    """Call ``function`` when this process ends, if it is a child made by multiprocessing.

    Such children end by os._exit after multiprocessing's own finalizers: atexit never runs there.
    ``turn``: LISTENERS_TURN or SENDERS_TURN. Returns what withdraws this, None if it is no child.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None or multiprocessing.parent_process() is None:
        return None
    from multiprocessing import util

    withdraw: Callable[[], object] = util.Finalize(None, function, exitpriority=turn).cancel
    return withdraw
