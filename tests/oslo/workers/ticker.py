# SPDX-License-Identifier: Apache-2.0
"""Another green thread, for programs that eventlet has patched before they import this."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import eventlet

LOG = logging.getLogger("ticker")
TICK_S = 0.005


class Ticker:
    """A green thread that counts its turns; a hub that is blocked gives it none."""

    def __init__(self) -> None:
        self.turns = 0
        eventlet.spawn(self._run)

    def _run(self) -> None:
        while True:
            eventlet.sleep(TICK_S)
            self.turns += 1
            LOG.debug("a turn")  # beside our real threads, which log at the same time

    @contextmanager
    def counted(self, what: str) -> Iterator[None]:
        """Print ``WHAT TURNS MS``: how many turns there were meanwhile, and how long it took."""
        before, began = self.turns, time.monotonic()
        yield
        took_ms = 1000 * (time.monotonic() - began)
        # Whole, since the processes of a launcher share their stdout.
        os.write(1, f"{what} {self.turns - before} {took_ms:.0f}\n".encode())
