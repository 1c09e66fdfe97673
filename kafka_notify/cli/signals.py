# SPDX-License-Identifier: Apache-2.0
"""Signals that end a command in good order, as Ctrl-C does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from kafka_notify.runtime.leaving import RaisedBySignal, raise_again_if_ignored


class Signalled(KeyboardInterrupt, RaisedBySignal):
    """Raised in the main thread by SIGTERM and SIGHUP, where SIGINT raises KeyboardInterrupt."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal_number = number
        self.exit_code = 128 + number


def end_in_good_order() -> None:
    """Have SIGTERM and SIGHUP raise Signalled from now on; ignored ones (nohup) stay ignored."""
    raise_again_if_ignored()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)


@contextmanager
def held_back() -> Iterator[None]:
    """Let no signal interrupt the body: for endings that must not be left half done.

    The body has to be bounded by itself. Main thread only.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Signalled(number)
