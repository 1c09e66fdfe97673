# SPDX-License-Identifier: Apache-2.0
"""The tasks that call endpoints which are coroutine functions, all on one event loop.

No thread waits for them: a hundred endpoints that wait for others cost one thread's work, where as
many threads take the interpreter from each other with each record.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable

from kafka_notify.core.lanes import Unit
from kafka_notify.native import threading, time
from kafka_notify.runtime.basehands import BaseHands
from kafka_notify.runtime.endpoint_loop import EndpointLoop
from kafka_notify.runtime.redelivery import Todo
from kafka_notify.runtime.stuck import Stuck


class Tasks(BaseHands):
    """Run units side by side on a loop, those of one lane one after the other; see ``Hands``.

    ``run`` is awaited in up to ``limit`` tasks, one for each unit, returns what is left to do of
    it, and must not raise. The loop is to be started before anything is handed over.
    """

    def __init__(
        self,
        run: Callable[[Unit], Awaitable[Todo | None]],
        loop: EndpointLoop,
        *,
        limit: int,
        discards: bool = False,
        stuck: Stuck | None = None,
    ) -> None:
        """``discards`` tells that what has not begun may be dropped: it is not committed yet."""
        super().__init__(discards=discards, stuck=stuck)
        self._run = run
        self._loop = loop
        self._limit = limit
        self._ready: deque[Unit] = deque()
        self._is_called = False
        self._closed = False
        # The loop's alone; by itself it keeps no task from the garbage collector.
        self._tasks: dict[Unit, asyncio.Task[None]] = {}
        # What endpoints do to their task's context stays in it.
        self._context = contextvars.copy_context()

    def hand_over(self, units: Collection[Unit], *, stays: bool = False) -> None:
        """Take units in their order; see ``Hands``."""
        self._make_ready(self.account.add(units))

    def start(self, unit: Unit) -> None:
        """Have a unit run as soon as fewer than ``limit`` do."""
        self._make_ready((unit,))

    def _make_ready(self, units: Iterable[Unit]) -> None:
        self._ready.extend(units)
        # One call for all that comes before the loop gets to it: each one wakes its thread.
        if self._ready and not self._is_called and not self._closed:
            self._is_called = True
            self._loop.call(self._called)

    def finish(self, unit: Unit) -> None:
        """Account for a unit that has run earlier. Threads: any."""
        self._make_ready(self._account_for(unit))

    def _account_for(self, unit: Unit) -> list[Unit]:
        if self.on_finished is not None:
            self.on_finished(unit)
        return self.account.finish((unit,))

    def after_fork_in_child(self) -> None:
        """Leave to the parent what is in hand."""
        super().after_fork_in_child()
        self._closed = True
        self._ready.clear()

    def close(self, timeout_s: float) -> None:
        """Wait for the tasks; those that still run are cut off when the loop ends."""
        deadline = time.monotonic() + timeout_s
        super().close(timeout_s)
        if not self._loop.is_mine(threading.current_thread()):
            self.account.drain(None, max(0.0, deadline - time.monotonic()))
        self._closed = True

    # --- in the loop

    def _called(self) -> None:
        self._is_called = False  # before the look: what comes later calls again
        self._start_tasks()

    def _start_tasks(self) -> None:
        while self._ready and len(self._tasks) < self._limit and not self._closed:
            unit = self._ready.popleft()
            create = asyncio.get_running_loop().create_task
            self._tasks[unit] = self._context.run(create, self._work(unit))

    async def _work(self, unit: Unit) -> None:
        """Run a unit; an account is closed whatever happens, unless the loop ends.

        One task for several units would cost 6 us less for each, but what an endpoint leaves in
        its task, a cancellation or a context variable, would meet another notification.
        """
        todo: Todo | None = None
        try:
            if not self.account.discards or self.account.begin(unit):
                if self._stuck is not None:
                    self._stuck.begin(unit, id(unit))
                todo = await self._run(unit)
        except BaseException:
            if not self._closed:  # or the loop ends: what it cuts off is not done
                self._go_on_after(unit, None)
            raise
        self._go_on_after(unit, todo)

    def _go_on_after(self, unit: Unit, todo: Todo | None) -> None:
        self._tasks.pop(unit, None)
        if self._stuck is not None:
            self._stuck.end(id(unit))
        if todo is None or self.redelivery is None:
            self._ready.extend(self._account_for(unit))
        else:
            self.redelivery.take(unit, todo)
        self._start_tasks()
