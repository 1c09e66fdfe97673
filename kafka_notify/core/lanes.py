# SPDX-License-Identifier: Apache-2.0
"""Order per key, side by side otherwise: which unit of work may run now.

A unit is one record, or one batch of them. It may run when in the lane of each of its keys it is
the first. Units without keys (records sent without one) may always run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from kafka_notify.core.message import Record

LaneKey = tuple[str, bytes]
"""(topic, record key): a key means nothing beyond its topic."""


class Unit(msgspec.Struct, eq=False, gc=False):
    """Records that go to the endpoints in one call, and the lanes that they stand in.

    Attributes:
        records: What is still to be done of it.
        keys: Its lanes.
        epoch: When it was handed over; see ``OffsetTracker``.
        todo: Which part of the work is left, after a first attempt.
        attempt: Which hand-out is the next, or goes on.
        requeued_s: When it was requeued first, 0 if never.
        behind: In how many lanes it stands behind others.
    """

    records: Sequence[Record]
    keys: tuple[LaneKey, ...] = ()
    epoch: int = 0
    todo: Any = None
    attempt: int = 1
    requeued_s: float = 0.0
    behind: int = 0

    def __post_init__(self) -> None:
        """Look for its lanes."""
        records = self.records
        if len(records) == 1:  # most are; told here, since it is done for each record
            key = records[0].key
            if key is not None:
                self.keys = ((records[0].topic, key),)
        else:
            self.keys = _keys_of(records)

    @property
    def is_first(self) -> bool:
        """Whether nothing stands before it in any of its lanes."""
        return not self.behind


def _keys_of(records: Sequence[Record]) -> tuple[LaneKey, ...]:
    return tuple(
        {(record.topic, record.key): None for record in records if record.key is not None}
    )


class Lanes:
    """The lanes of one listener. Not locked: its owner calls it under a lock of his."""

    def __init__(self) -> None:
        self._lanes: dict[LaneKey, deque[Unit]] = {}

    def __repr__(self) -> str:
        """Tell how many lanes are in use and how many units stand in them."""
        return f"<Lanes {len(self._lanes)} lanes, {sum(map(len, self._lanes.values()))} places>"

    def behind(self, unit: Unit) -> list[Unit]:
        """Return the units that stand behind this one, which is the first in its lanes."""
        found: dict[Unit, None] = {}
        for key in unit.keys:
            lane = self._lanes[key]
            found.update(dict.fromkeys(one for one in lane if one is not unit))
        return list(found)

    def add(self, units: Iterable[Unit]) -> list[Unit]:
        """Line up units in their order; return those that may run at once."""
        ready = []
        for unit in units:
            unit.behind = 0
            for key in unit.keys:
                lane = self._lanes.get(key)
                if lane is None:
                    self._lanes[key] = deque((unit,))
                else:
                    lane.append(unit)
                    unit.behind += 1
            if not unit.behind:
                ready.append(unit)
        return ready

    def finish(self, unit: Unit) -> list[Unit]:
        """Take a unit that has run out of its lanes; return those that may run now."""
        ready = []
        for key in unit.keys:
            lane = self._lanes[key]
            lane.popleft()
            if not lane:
                del self._lanes[key]
                continue
            following = lane[0]
            following.behind -= 1
            if not following.behind:
                ready.append(following)
        return ready
