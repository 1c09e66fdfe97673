# SPDX-License-Identifier: Apache-2.0
"""States that librdkafka does not leave by itself, read from its statistics.

A broker that has just come up, or was taken for dead by its controller, answers with a list of no
brokers, and that it coordinates no group. After such answers, now and then, a client

- knows no broker, and never looks for one again
  (https://github.com/confluentinc/librdkafka/issues/5301);
- is a member in good standing whose partitions are never fetched: it has forgotten that it was
  asking for their offsets.

Both look healthy from outside, and such a client must be replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import orjson

from kafka_notify.core.message import Partition

STATISTICS_INTERVAL_S = 5.0
_NO_BROKER_IN_A_ROW = 2  # one may fall between the old list and the new one
_IDLE_IN_A_ROW = 3  # a new assignment begins to fetch in less
_REAL = ("learned", "configured")
_IDLE = ("none", "stopped")


class Health:
    """Takes a client's statistics. Threads: the one that polls the client writes, any reads."""

    def __init__(self, on_up: Callable[[], object]) -> None:
        """``on_up`` is called whenever a broker is up and has let us in."""
        self._on_up = on_up
        self.begin_anew()

    def begin_anew(self) -> None:
        """Note that a new client is watched from now on."""
        self._no_broker_in_a_row = 0
        self._idle_in_a_row: dict[Partition, int] = {}

    @property
    def knows_no_broker(self) -> bool:
        """Whether the client knows no broker, and so will never reach one again."""
        return self._no_broker_in_a_row >= _NO_BROKER_IN_A_ROW

    def never_fetches(self, assigned: Collection[Partition]) -> bool:
        """Tell whether one of these partitions is left lying although its leader is there."""
        idle = self._idle_in_a_row
        return any(idle.get(one, 0) >= _IDLE_IN_A_ROW for one in assigned) if idle else False

    def heard(self, text: str) -> None:
        """Take the client's statistics callback."""
        statistics = orjson.loads(text)
        states = [
            broker["state"]
            for broker in statistics["brokers"].values()
            if broker["source"] in _REAL
        ]
        self._no_broker_in_a_row = 0 if states else self._no_broker_in_a_row + 1
        before = self._idle_in_a_row
        self._idle_in_a_row = {one: before.get(one, 0) + 1 for one in _idle(statistics)}
        if "UP" in states:
            self._on_up()


def _idle(statistics: dict[str, Any]) -> list[Partition]:
    """Return the partitions that are not fetched, of a member that is not rebalancing."""
    if statistics.get("cgrp", {}).get("join_state") != "steady":
        return []
    return [
        Partition(topic["topic"], partition["partition"])
        for topic in statistics["topics"].values()
        for partition in topic["partitions"].values()
        if partition["fetch_state"] in _IDLE and partition["leader"] >= 0
    ]
