# SPDX-License-Identifier: Apache-2.0
"""How far a member of a share group has got, read from its client's statistics.

The client tells of assignments in no other way. Besides, this notices when it fetches no more:
librdkafka's own notes in its code name cases in which it may (the client is a preview).
"""

from __future__ import annotations

from typing import Any

import orjson

from kafka_notify.drivers.confluent_health import STATISTICS_INTERVAL_S, Health

INTERVAL_S = 0.25  # a listener's start() waits for what is read here

_BEATS_OF_HEALTH = round(STATISTICS_INTERVAL_S / INTERVAL_S)
# The next request is sent when the last has been answered; one more for a broker that was slow.
_ROUNDS = 3
_UNCHANGED_BEATS = 8
# Longer than a request to a broker that hangs is waited for.
_STILL_BEATS = round(40.0 / INTERVAL_S)


class ShareWatch:
    """Takes the statistics of one share consumer. Threads: the one that polls the client."""

    def __init__(self, health: Health) -> None:
        """``health`` watches the brokers, at its own pace."""
        self._health = health
        self._beats = 0
        self._partitions = 0
        self._unchanged = 0
        self._still = 0
        self._leaders: set[int] = set()
        self._fetches: dict[int, int] = {}
        self._is_up = False
        self.is_polled = False

    @property
    def is_assigned(self) -> bool:
        """Whether the member has partitions to fetch from."""
        return self._partitions > 0

    @property
    def is_joining(self) -> bool:
        """Whether the member has no partitions yet, and may have a broker to get them from."""
        return not self.is_assigned and (self._is_up or not self._beats)

    def has_fetched(self, partitions: int) -> bool:
        """Tell whether all leaders were asked, and so have looked where the group begins.

        ``partitions`` there should be in all; when others have some of them, the assignment
        must have come to rest.
        """
        complete = self._partitions >= partitions or self._unchanged >= _UNCHANGED_BEATS
        asked = (self._fetches.get(leader, 0) >= _ROUNDS for leader in self._leaders)
        return self.is_assigned and complete and bool(self._leaders) and all(asked)

    @property
    def knows_no_broker(self) -> bool:
        """Whether the client knows no broker, and so will never reach one again."""
        return self._health.knows_no_broker

    @property
    def has_stopped(self) -> bool:
        """Whether the client is polled, has partitions and leaders, and asks for nothing."""
        return self._still >= _STILL_BEATS

    def heard(self, text: str) -> None:
        """Take the client's statistics callback."""
        self._beats += 1
        if self._beats % _BEATS_OF_HEALTH == 0:
            self._health.heard(text)
        statistics: dict[str, Any] = orjson.loads(text)
        brokers = list(statistics["brokers"].values())
        group = statistics.get("cgrp", {})
        steady = group.get("join_state") == "steady"
        partitions = group.get("assignment_size", 0) if steady else 0
        self._unchanged = self._unchanged + 1 if partitions == self._partitions else 0
        self._partitions = partitions
        self._leaders = {
            partition["leader"]
            for topic in statistics["topics"].values()
            for partition in topic["partitions"].values()
            if partition["leader"] >= 0
        }
        self._hear_of_fetches(brokers)

    def _hear_of_fetches(self, brokers: list[dict[str, Any]]) -> None:
        up = {one["nodeid"] for one in brokers if one["state"] == "UP"}
        self._is_up = bool(up)
        fetches = {one["nodeid"]: one.get("req", {}).get("ShareFetch", 0) for one in brokers}
        still = (
            self.is_polled
            and self.is_assigned
            and bool(self._leaders)
            and self._leaders <= up
            and fetches == self._fetches
        )
        self._still = self._still + 1 if still else 0
        self._fetches = fetches
