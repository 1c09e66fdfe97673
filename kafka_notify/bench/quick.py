# SPDX-License-Identifier: Apache-2.0
"""The quick comparison of ``kafka-notify bench``: a raw client and ours in turns, some rounds."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kafka_notify.bench.child import Figures
from kafka_notify.bench.process import LOAD, OURS, RAW, Place, measure

PARTITIONS = 4
_LATENCIES_EACH = 100  # of the notifications: one at a time takes about so much longer
_LEAST_LATENCIES = 100
_BEFORE = {"url": {"commit_policy": "before_dispatch"}}
_AFTER = {"url": {"commit_policy": "after_dispatch"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One system in one way; ``beside`` names the raw client's way that it is held against."""

    name: str
    program: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    beside: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measure:
    name: str
    figures: Mapping[str, str]
    ways: tuple[_Way, ...]
    filled: bool = False
    single: bool = False


_MEASURES = (
    _Measure(
        name="send",
        figures={"rate": "per second", "cpu_us": "CPU µs each"},
        ways=(
            _Way(name="raw client", program=RAW),
            _Way(name="kafka-notify", program=OURS, beside="raw client"),
        ),
    ),
    _Measure(
        name="receive",
        figures={"rate": "per second", "cpu_us": "CPU µs each"},
        filled=True,
        ways=(
            _Way(name="raw client", program=RAW),
            _Way(
                name="kafka-notify, before_dispatch",
                program=OURS,
                options=_BEFORE,
                beside="raw client",
            ),
            _Way(
                name="kafka-notify, after_dispatch",
                program=OURS,
                options=_AFTER,
                beside="raw client",
            ),
        ),
    ),
    _Measure(
        name="latency",
        figures={"p50_ms": "p50 ms", "p99_ms": "p99 ms"},
        single=True,
        ways=(
            _Way(name="raw client, commit first", program=RAW, options={"commits": True}),
            _Way(
                name="kafka-notify, before_dispatch",
                program=OURS,
                options=_BEFORE,
                beside="raw client, commit first",
            ),
            _Way(name="raw client, no commit", program=RAW, options={"commits": False}),
            _Way(
                name="kafka-notify, after_dispatch",
                program=OURS,
                options=_AFTER,
                beside="raw client, no commit",
            ),
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure of one system over the rounds; ``ratio`` is that to the raw client's median."""

    measure: str
    system: str
    unit: str
    median: float
    lowest: float
    highest: float
    ratio: float | None


class Quick:
    """The comparison on one Kafka.

    Args:
        count: Notifications of each measurement; of those one at a time a hundredth.
        show: Told what is done, how much of it, and the whole.
    """

    def __init__(
        self, place: Place, *, count: int, rounds: int, show: Callable[[str, int, int], None]
    ) -> None:
        self._place = place
        self._count = count
        self._rounds = rounds
        self._show = show
        self._prefix = f"kafka-notify-bench-{uuid.uuid4().hex[:8]}"
        self._topics = 0
        self._pools = 0
        self._found: dict[tuple[str, str], list[Figures]] = {}

    def run(self) -> list[Line]:
        """Measure, and return the lines of the table. Raises MeasurementFailed.

        Blocks: about a minute for 20,000 notifications and three rounds. The topics are deleted
        in the end.
        """
        whole = self._rounds * sum(len(one.ways) for one in _MEASURES)
        done = 0
        with self._topic(filled=True) as filled:
            for _ in range(self._rounds):
                for one in _MEASURES:
                    for way in one.ways:
                        self._show("measurements", done, whole)
                        self._measure(one, way, filled=filled)
                        done += 1
        self._show("measurements", whole, whole)
        return [line for one in _MEASURES for line in self._lines(one)]

    def _measure(self, what: _Measure, way: _Way, *, filled: str) -> None:
        count = self._count
        if what.single:
            count = max(_LEAST_LATENCIES, count // _LATENCIES_EACH)
        if what.filled:
            self._pools += 1
            pool = f"{self._prefix}-{self._pools}"
            figures = self._one(way, what, topic=filled, count=count, more={"pool": pool})
        else:
            with self._topic() as topic:
                figures = self._one(way, what, topic=topic, count=count, more={})
        self._found.setdefault((what.name, way.name), []).append(figures)

    def _one(
        self, way: _Way, what: _Measure, *, topic: str, count: int, more: Mapping[str, Any]
    ) -> Figures:
        return measure(
            way.program,
            what.name,
            place=self._place,
            topic=topic,
            count=count,
            options={**way.options, **more},
        )

    @contextmanager
    def _topic(self, *, filled: bool = False) -> Iterator[str]:
        self._topics += 1
        topic = f"{self._prefix}-{self._topics}"
        self._load("make", topic)
        try:
            if filled:
                self._load("fill", topic)
            yield topic
        finally:
            self._load("delete", topic)

    def _load(self, what: str, topic: str) -> None:
        measure(
            LOAD,
            what,
            place=self._place,
            topic=topic,
            count=self._count,
            options={"partitions": PARTITIONS},
        )

    def _lines(self, what: _Measure) -> Iterator[Line]:
        for figure, unit in what.figures.items():
            medians = {
                way.name: statistics.median(self._values(what, way, figure)) for way in what.ways
            }
            for way in what.ways:
                values = self._values(what, way, figure)
                yield Line(
                    measure=what.name,
                    system=way.name,
                    unit=unit,
                    median=medians[way.name],
                    lowest=min(values),
                    highest=max(values),
                    ratio=medians[way.name] / medians[way.beside] if way.beside else None,
                )

    def _values(self, what: _Measure, way: _Way, figure: str) -> list[float]:
        return [one[figure] for one in self._found[what.name, way.name]]
