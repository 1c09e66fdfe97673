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
_before: Callable[[sys.UnraisableHookArgs], object] | None = None  # the hook that ours replaced


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
    raise_again_if_ignored()
    for number in signals or (signal.SIGTERM,):
        signal.signal(number, _exit)


class RaisedBySignal(BaseException):
    """What a handler raises; ``raise_again_if_ignored`` sees to it that it is raised.

    Attributes:
        signal_number: Whose handler.
    """

    signal_number: int


class _Exit(SystemExit, RaisedBySignal):
    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal_number = number


def _exit(number: int, _frame: FrameType | None) -> None:
    raise _Exit(number)


def raise_again_if_ignored() -> None:
    """Have a signal sent again if the interpreter has ignored its RaisedBySignal. Idempotent.

    A handler may run inside a callback of the interpreter, such as those that end the locks of
    imports: what it raises there is printed and forgotten.
    """
    global _before
    if _before is None:
        _before, sys.unraisablehook = sys.unraisablehook, _unraisable


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    ignored = args.exc_value
    if not isinstance(ignored, RaisedBySignal):
        if _before is not None:
            _before(args)
        return
    # Later, and so in other code: here it would be ignored, too.
    call = (threading.main_thread().ident, ignored.signal_number)
    again = threading.Timer(_AGAIN_S, signal.pthread_kill, call)
    again.daemon = True
    again.start()


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
