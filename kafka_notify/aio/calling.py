# SPDX-License-Identifier: Apache-2.0
"""Calls into a loop from the runtime's threads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any


def call_soon(
    loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: Any
) -> None:
    """Have a loop call ``function``; do nothing if it is closed: then nobody waits any more.

    Threads: any. Never blocks.
    """
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)


class LoopBell:
    """A ``Bell`` that a coroutine waits on. It belongs to the loop it was made in."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def silence(self) -> None:
        """Forget earlier rings. Threads: the loop's."""
        self._rung.clear()

    def ring(self) -> None:
        """End the wait. Never blocks. Threads: any."""
        call_soon(self._loop, self._rung.set)

    def wait(self, timeout_s: float) -> None:
        """Return at once: a loop's thread must not wait."""

    async def rung(self) -> None:
        """Return after a ring."""
        await self._rung.wait()
