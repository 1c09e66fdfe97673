# SPDX-License-Identifier: Apache-2.0
"""How cost grows: each curve is one thing of which there is more and more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from suite.lines import (
    Line,
    each_costs,
    each_takes,
    flat_memory,
    flat_rate,
    no_faster_than_size,
)
from suite.workloads import AFTER, BEFORE, Data, Series, merged

_PAYLOAD_BYTES = 150_000_000
_RECEIVED = 60_000
OUTBOX_PROGRAM = (str(Path(__file__).parents[1] / "curves" / "outbox_backlog.py"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One curve for each series of it.

    Attributes:
        grows: What there is more of, with its unit.
        at: The points.
        series: Which series are measured at a point.
        lines: What each of the curves should be.
        program: Another than the system's own.
    """

    name: str
    title: str
    grows: str
    measure: str
    at: tuple[float, ...]
    series: Callable[[float], Sequence[Series]]
    lines: tuple[Line, ...]
    rounds: int = 2
    program: tuple[str, ...] | None = None


def _both(data: Data) -> list[Series]:
    before = Series(
        system="ours", way="before_dispatch", options=BEFORE, count=data.count, data=data
    )
    return [before, replace(before, way="after_dispatch", options=AFTER)]


def _backlog(count: float) -> list[Series]:
    # A million takes long enough to be measured once.
    rounds = 1 if count >= 1_000_000 else 99
    return [replace(one, rounds=rounds) for one in _both(Data(count=int(count)))]


def _keys(keys: float) -> list[Series]:
    return _both(Data(count=100_000, keys=int(keys)))


def _partitions(partitions: float) -> list[Series]:
    data = Data(count=100_000, keys=1_000, partitions=int(partitions))
    return _both(data)[:1]


def _topics(topics: float) -> list[Series]:
    data = Data(count=_RECEIVED, topics=int(topics), partitions=1)
    return [replace(one, options=merged(one.options, data.options)) for one in _both(data)[:1]]


def _endpoints(endpoints: float) -> list[Series]:
    data = Data(count=_RECEIVED)
    told: dict[str, Any] = {"endpoints": int(endpoints)}
    return [replace(one, options=merged(one.options, told)) for one in _both(data)[:1]]


def _count_of(record_bytes: float) -> int:
    return min(_RECEIVED, int(_PAYLOAD_BYTES // record_bytes))


def _payload_sent(record_bytes: float) -> list[Series]:
    told = {"record_bytes": int(record_bytes)}
    count = _count_of(record_bytes)
    return [
        Series(system="ours", options=told, count=count),
        Series(system="raw", options=told, count=count),
    ]


def _payload_received(record_bytes: float) -> list[Series]:
    data = Data(count=_count_of(record_bytes), record_bytes=int(record_bytes))
    return [
        _both(data)[0],
        Series(system="raw", way="commit per 500", count=data.count, data=data),
    ]


def _outbox(records: float) -> list[Series]:
    return [Series(system="ours", count=int(records), options={"record_bytes": 300})]


_SIZES = (300, 2_000, 20_000, 200_000, 900_000)

CURVES: tuple[Curve, ...] = (
    Curve(
        name="backlog",
        title="Receive a backlog",
        grows="records in the topic",
        measure="receive",
        at=(10_000, 100_000, 1_000_000),
        series=_backlog,
        lines=(flat_rate(), flat_memory()),
    ),
    Curve(
        name="keys",
        title="Receive records of more keys",
        grows="keys",
        measure="receive",
        at=(10, 1_000, 100_000),
        series=_keys,
        lines=(flat_rate(), flat_memory()),
    ),
    Curve(
        name="partitions",
        title="Receive from more partitions",
        grows="partitions",
        measure="receive",
        at=(1, 10, 100),
        series=_partitions,
        lines=(flat_rate(), flat_memory(2.0)),
    ),
    Curve(
        name="topics",
        title="One listener of more topics",
        grows="topics",
        measure="receive",
        at=(1, 50, 500),
        series=_topics,
        lines=(flat_rate(), each_costs(10, figure="start_ms", unit="ms to start()")),
    ),
    Curve(
        name="endpoints",
        title="Receive with more endpoints, whose filters let nothing through but the last",
        grows="endpoints",
        measure="receive",
        at=(1, 10, 100),
        series=_endpoints,
        lines=(each_takes(1.5), flat_memory()),
    ),
    Curve(
        name="payload-send",
        title="Send larger notifications",
        grows="bytes of a record",
        measure="send",
        at=_SIZES,
        series=_payload_sent,
        lines=(no_faster_than_size(),),
    ),
    Curve(
        name="payload-receive",
        title="Receive larger notifications",
        grows="bytes of a record",
        measure="receive",
        at=_SIZES,
        series=_payload_received,
        lines=(no_faster_than_size(),),
    ),
    Curve(
        name="outbox",
        title="Send into an outbox that holds more and more while Kafka is away, then drain it",
        grows="records in the outbox",
        measure="backlog",
        at=(0, 10_000, 100_000, 1_000_000),
        series=_outbox,
        lines=(flat_rate(), flat_rate("drain_rate"), flat_memory()),
        rounds=1,
        program=OUTBOX_PROGRAM,
    ),
)
