# SPDX-License-Identifier: Apache-2.0
"""The topics of a run: made, filled once for all who read them, deleted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kafka_notify.bench.process import LOAD, Place, measure
from suite.workloads import Data

_PARTITIONS = 4


class Topics:
    """The topics on the broker of a run; ``folder`` is its data, if it is on this machine."""

    def __init__(self, place: Place, folder: Path | None) -> None:
        self.place = place
        self._folder = folder
        self._filled: dict[Data, str] = {}
        self._numbers = itertools.count(1)

    def new_name(self) -> str:
        """Return a name that nothing in this run has."""
        return f"bench-{next(self._numbers)}"

    @contextmanager
    def empty(self, partitions: int = _PARTITIONS) -> Iterator[str]:
        """Yield the name of a new topic; delete it in the end."""
        topic = self.new_name()
        self._load("make", topic, Data(count=1, partitions=partitions))
        try:
            yield topic
        finally:
            self._load("delete", topic, Data(count=1))

    def filled(self, data: Data) -> str:
        """Return the name of a topic that holds these records."""
        if data not in self._filled:
            topic = self.new_name()
            self._load("make", topic, data)
            self._load("fill", topic, data)
            self._filled[data] = topic
        return self._filled[data]

    def delete_all(self) -> None:
        """Delete what was filled: the broker may be somebody's."""
        for data, topic in self._filled.items():
            self._load("delete", topic, data)
        self._filled = {}

    def log_bytes(self, topic: str) -> int | None:
        """Return how large the log of a topic is; None where the broker's disk is out of reach."""
        if self._folder is None:
            return None
        return sum(path.stat().st_size for path in self._folder.glob(f"{topic}.info-*/*.log"))

    def _load(self, what: str, topic: str, data: Data) -> None:
        measure(LOAD, what, place=self.place, topic=topic, count=data.count, options=data.options)
