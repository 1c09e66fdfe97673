# SPDX-License-Identifier: Apache-2.0
"""The books of a demo: what was sent, who received it, when, in which order, and the verdict.

Knows no Kafka; its clock is given to it.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one listener, or a pool as a whole, received. Latencies in ms; NaN: none measured."""

    pool: str
    listener: str
    received: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolVerdict:
    """What went wrong in a pool, as counts; all zero if nothing did."""

    pool: str
    lost: int
    repeated: int
    changed: int
    out_of_order: int

    @property
    def ok(self) -> bool:
        """Whether each notification came once, unchanged and in order."""
        return not (self.lost or self.repeated or self.changed or self.out_of_order)

    def __str__(self) -> str:
        """Say it in a few words: 'ok', or what went wrong."""
        counts = {
            "lost": self.lost,
            "repeated": self.repeated,
            "changed": self.changed,
            "out of order": self.out_of_order,
        }
        wrong = [f"{count} {what}" for what, count in counts.items() if count]
        return ", ".join(wrong) or "ok"


class _Sent(NamedTuple):
    publisher_id: str
    number: int
    digest: int
    at_s: float
    timed: bool


class _Pool:
    """What the listeners of one pool received so far."""

    def __init__(self, listeners: Sequence[str]) -> None:
        self.seen: Counter[str] = Counter()
        self.last: dict[str, int] = {}
        self.changed = 0
        self.out_of_order = 0
        self.received = dict.fromkeys(listeners, 0)
        self.latencies_s: dict[str, list[float]] = {name: [] for name in listeners}


class Tally:
    """Count for pools of listeners. Notifications are known by an id. Threads: any."""

    def __init__(self, pools: Mapping[str, Sequence[str]], *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sent: dict[str, _Sent] = {}
        self._pools = {name: _Pool(listeners) for name, listeners in pools.items()}

    def send(
        self,
        ident: str,
        *,
        publisher_id: str,
        payload: Any,
        timed: bool,
    ) -> None:
        """Note a notification right before it is sent; ``timed`` ones count for the latency."""
        digest = _digest(payload)
        with self._lock:
            number = len(self._sent)
            self._sent[ident] = _Sent(publisher_id, number, digest, self._clock(), timed)

    def receive(self, ident: str, *, pool: str, listener: str, payload: Any) -> None:
        """Note a notification that a listener just got; those of other senders do not count."""
        at_s = self._clock()
        sent = self._sent.get(ident)
        if sent is None:
            return
        intact = _digest(payload) == sent.digest
        with self._lock:
            books = self._pools[pool]
            books.received[listener] += 1
            books.seen[ident] += 1
            books.changed += not intact
            if sent.number < books.last.get(sent.publisher_id, -1):
                books.out_of_order += 1
            books.last[sent.publisher_id] = sent.number
            if sent.timed:
                books.latencies_s[listener].append(at_s - sent.at_s)

    @property
    def sent(self) -> int:
        """How many notifications were sent."""
        return len(self._sent)

    def arrived(self) -> dict[str, int]:
        """Return how many different notifications each pool has."""
        with self._lock:
            return {name: len(pool.seen) for name, pool in self._pools.items()}

    def scores(self) -> list[Score]:
        """Return for each pool its score as a whole (listener 'all'), then its listeners'."""
        rows = []
        with self._lock:
            for name, pool in self._pools.items():
                every = [one for latencies in pool.latencies_s.values() for one in latencies]
                rows.append(_score(name, "all", sum(pool.received.values()), every))
                rows += [
                    _score(name, listener, count, pool.latencies_s[listener])
                    for listener, count in pool.received.items()
                ]
        return rows

    def verdicts(self) -> dict[str, PoolVerdict]:
        """Return the verdict on each pool."""
        with self._lock:
            return {
                name: PoolVerdict(
                    pool=name,
                    lost=len(self._sent) - len(pool.seen),
                    repeated=sum(times - 1 for times in pool.seen.values()),
                    changed=pool.changed,
                    out_of_order=pool.out_of_order,
                )
                for name, pool in self._pools.items()
            }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that ``share`` of all do not exceed (nearest rank), else NaN."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _score(pool: str, listener: str, received: int, latencies_s: Sequence[float]) -> Score:
    return Score(
        pool=pool,
        listener=listener,
        received=received,
        p50_ms=1000 * percentile(latencies_s, 0.50),
        p99_ms=1000 * percentile(latencies_s, 0.99),
    )


def _digest(payload: Any) -> int:
    return hash(orjson.dumps(payload))
