# SPDX-License-Identifier: Apache-2.0
"""The one place of the tests that waits by polling.

Where an event, a queue or a join can tell, wait on that instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.02


def eventually(predicate: Callable[[], T], timeout_s: float, what: str) -> T:
    """Return the first true result of predicate, or fail after timeout_s, naming what was awaited.

    An exception of the predicate ends the wait at once.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        result = predicate()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s} s: {what} (last seen: {result!r})")
        time.sleep(POLL_S)  # noqa: TID251 - this is the place
