# SPDX-License-Identifier: Apache-2.0
"""The words that cases and curves are written in: data, series, tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BEFORE: Mapping[str, Any] = {"url": {"commit_policy": "before_dispatch"}}
AFTER: Mapping[str, Any] = {"url": {"commit_policy": "after_dispatch"}}
SHARE: Mapping[str, Any] = {"url": {"commit_policy": "share"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Records that lie in a topic before somebody receives them; see ``kafka_notify.bench.load``.

    ``pauses`` are the least and the most seconds that an endpoint is to take; 0 means unset.
    """

    count: int
    partitions: int = 4
    keys: int = 0
    topics: int = 0
    record_bytes: int = 0
    pauses: tuple[float, float] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What the programs are told of it."""
        told = {
            "partitions": self.partitions,
            "keys": self.keys,
            "topics": self.topics,
            "record_bytes": self.record_bytes,
            "pauses": self.pauses,
        }
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One system in one way, in a case or a curve.

    Attributes:
        system: By its name in ``SYSTEMS``.
        way: What is said beside the system's title, where a case has it in several ways.
        options: What the program is told besides.
        count: How many notifications: slow systems get fewer, so that all take a second or two.
        rounds: At most, where the case has more.
        data: What it reads, instead of what the case says.
    """

    system: str
    way: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    count: int
    rounds: int = 99
    data: Data | None = None

    @property
    def key(self) -> str:
        """Its name among the results of its case."""
        return f"{self.system} {self.way}".strip()


def merged(*options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options in which later ones win; those of the URL are merged, too."""
    result: dict[str, Any] = {}
    for one in options:
        url = {**result.get("url", {}), **one.get("url", {})}
        result |= one
        if url:
            result["url"] = url
    return result
