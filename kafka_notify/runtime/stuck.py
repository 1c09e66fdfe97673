# SPDX-License-Identifier: Apache-2.0
"""Which endpoints take longer than they should, and with which notification."""

from __future__ import annotations

from kafka_notify.core.envelope import message_id_of
from kafka_notify.core.events import EndpointStuck, Monitor
from kafka_notify.core.lanes import Unit
from kafka_notify.native import time


class Stuck:
    """The units that run, by their runners' numbers. Threads: each tells its own; any looks.

    A dict's single operations need no lock, and a unit that ends while it is looked at is missed
    or told once too often, no more.

    Attributes:
        running: Each runner's unit, and since when it has it; it may be set here as by ``begin``.
    """

    def __init__(self, after_s: float, *, group: str, monitor: Monitor) -> None:
        self._after_s = after_s
        self._group = group
        self._monitor = monitor
        self.running: dict[int, tuple[Unit, float]] = {}
        self._told: dict[int, tuple[Unit, float]] = {}  # and when to tell it again

    def begin(self, unit: Unit, runner: int, now_s: float | None = None) -> None:
        """Note that an endpoint of this runner gets a unit, and is done with the one before."""
        self.running[runner] = (unit, time.monotonic() if now_s is None else now_s)

    def end(self, runner: int) -> None:
        """Note that this one is done, and has no next one at once."""
        self.running.pop(runner, None)

    def units(self) -> list[tuple[Unit, float]]:
        """Return the units that run for too long, and for how long, in seconds."""
        now = time.monotonic()
        return [
            (unit, now - since_s)
            for unit, since_s in list(self.running.values())
            if now - since_s >= self._after_s
        ]

    def problems(self) -> list[str]:
        """Return each that is stuck, in words."""
        return [
            f"an endpoint has had notification {message_id_of(record.value)} "
            f"({record.where} offset {record.offset}) for {running_s:.1f} s"
            for unit, running_s in self.units()
            for record in unit.records[:1]
        ]

    def tell(self) -> None:
        """Report each that is stuck, again whenever its time has doubled."""
        found = self.units()
        self._told = {id(unit): self._told.get(id(unit), (unit, 0.0)) for unit, _ in found}
        for unit, running_s in found:
            if not unit.records or running_s < self._told[id(unit)][1]:
                continue
            self._told[id(unit)] = (unit, 2 * running_s)
            record = unit.records[0]
            self._monitor.emit(
                EndpointStuck(
                    group=self._group,
                    message_id=message_id_of(record.value),
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    running_s=running_s,
                )
            )
