# SPDX-License-Identifier: Apache-2.0
"""The tasks that call endpoints which are coroutine functions, all on one event loop.

No thread waits for them: a hundred endpoints that wait for others cost one thread's work, where as
many threads take the interpreter from each other with each record.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable

from kafka_notify.core.lanes import Unit
from kafka_notify.runtime.basehands import BaseHands
from kafka_notify.runtime.endpoint_loop import EndpointLoop
from kafka_notify.runtime.redelivery import Todo
from kafka_notify.runtime.stuck import Stuck

_TURNS = 16  # units after which a task whose endpoints never wait lets the others go on


class Tasks(BaseHands):
    """Run units side by side on a loop, those of one lane one after the other; see ``Hands``.

    ``run`` is awaited in up to ``limit`` tasks, returns what is left to do of a unit, and must not
    raise.
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
        self._tasks: set[asyncio.Task[None]] = set()

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

    def close(self, timeout_s: float) -> None:
        """Wait for the tasks; those that still run are cut off when the loop ends."""
        super().close(timeout_s)
        self.account.drain(None, timeout_s)
        self._closed = True

    # --- in the loop

    def _called(self) -> None:
        self._is_called = False  # before the look: what comes later calls again
        self._start_tasks()

    def _start_tasks(self) -> None:
        for _ in range(min(len(self._ready), self._limit - len(self._tasks))):
            task = asyncio.get_running_loop().create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._start_tasks()

    async def _work(self) -> None:
        """Run what may run, until nothing may; an account is closed whatever happens.

        A task for each unit would cost 6 us more.
        """
        me = id(asyncio.current_task())
        try:
            for turn in itertools.count(1):
                if not self._ready:
                    return
                await self._run_one(self._ready.popleft(), me)
                if turn % _TURNS == 0:
                    await asyncio.sleep(0)
        finally:
            if self._stuck is not None:
                self._stuck.end(me)

    async def _run_one(self, unit: Unit, me: int) -> None:
        todo: Todo | None = None
        try:
            if not self.account.discards or self.account.begin(unit):
                if self._stuck is not None:
                    self._stuck.begin(unit, me)
                todo = await self._run(unit)
        except asyncio.CancelledError:
            raise  # the loop ends: what it cuts off is not done
        except BaseException:
            self._go_on_after(unit, None)
            raise
        self._go_on_after(unit, todo)

    def _go_on_after(self, unit: Unit, todo: Todo | None) -> None:
        if todo is None or self.redelivery is None:
            self._ready.extend(self._account_for(unit))
        else:
            self.redelivery.take(unit, todo)
        if len(self._ready) > 1:  # one of them is for the task that goes on here
            self._start_tasks()
