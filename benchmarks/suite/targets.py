# SPDX-License-Identifier: Apache-2.0
"""What the figures have to be: ratios of medians in one run, and whether they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from suite.cases import CONCURRENCIES, IDEAL_CONCURRENCY, IDEAL_PAUSE_S, KEYS
from suite.curves import CURVES
from suite.results import Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One demand and what was measured; ``measured`` is None where that is missing."""

    demand: str
    bound: float
    measured: float | None
    at_least: bool = True

    @property
    def target(self) -> str:
        """The bound, in words."""
        return f"at {'least' if self.at_least else 'most'} {self.bound:g}"

    @property
    def met(self) -> bool | None:
        """Whether it is met; None where it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ratio:
    demand: str
    case: str
    figure: str
    ours: str
    theirs: str
    bound: float
    at_least: bool = True

    def verdict(self, results: Results) -> Verdict:
        ours = results.median(self.case, self.ours, self.figure)
        theirs = results.median(self.case, self.theirs, self.figure)
        return Verdict(
            demand=self.demand,
            bound=self.bound,
            measured=ours / theirs if ours and theirs else None,
            at_least=self.at_least,
        )


def _send(ours: str, theirs: str, bound: float) -> _Ratio:
    names = {"ours": "kafka-notify", "plugin": "the plug-in"}
    others = {"upstream": "upstream", "raw": "raw produce"}
    return _Ratio(
        demand=f"Send, confirmed: {names[ours]} to {others[theirs]}",
        case="send",
        figure="rate",
        ours=ours,
        theirs=theirs,
        bound=bound,
    )


def _receive(demand: str, ours: str, theirs: str, bound: float) -> _Ratio:
    return _Ratio(
        demand=f"Receive: {demand}",
        case="receive",
        figure="rate",
        ours=ours,
        theirs=theirs,
        bound=bound,
    )


def _latency(figure: str, ours: str, theirs: str, bound: float) -> _Ratio:
    return _Ratio(
        demand=f"Latency {figure.partition('_')[0]}: {ours} to raw, {theirs}",
        case="latency",
        figure=figure,
        ours=f"ours {ours}",
        theirs=f"raw {theirs}",
        bound=bound,
        at_least=False,
    )


_WAYS = {"ours": "threads", "ours coroutines": "coroutines"}


def _parallel(ours: str, keys: int, concurrency: int) -> _Ratio:
    return _Ratio(
        demand=f"Parallel Consumer's workload, {keys:,} keys, {concurrency} {_WAYS[ours]}: "
        "time to its",
        case=f"parallel-{keys}-{concurrency}",
        figure="seconds",
        ours=ours,
        theirs="parallel",
        bound=0.5 if concurrency == max(CONCURRENCIES) else 1.0,
        at_least=False,
    )


_RATIOS = (
    _send("ours", "upstream", 3),
    _send("ours", "raw", 0.45),
    _send("plugin", "upstream", 2.5),
    _receive("before_dispatch to upstream", "ours before_dispatch", "upstream", 6),
    _receive(
        "before_dispatch to raw with a commit per 500",
        "ours before_dispatch",
        "raw commit per 500",
        0.35,
    ),
    _receive(
        "the plug-in to oslo.messaging's server over a driver that costs nothing",
        "plugin before_dispatch",
        "null",
        0.8,
    ),
    _receive(
        "after_dispatch to before_dispatch", "ours after_dispatch", "ours before_dispatch", 0.7
    ),
    _latency("p50_ms", "before_dispatch", "commit first", 1.3),
    _latency("p99_ms", "before_dispatch", "commit first", 2),
    _latency("p50_ms", "after_dispatch", "no commit", 1.3),
    _latency("p99_ms", "after_dispatch", "no commit", 2),
    *(
        _parallel(ours, keys, concurrency)
        for concurrency in CONCURRENCIES
        for ours in _WAYS
        for keys in KEYS
    ),
)


def verdicts(results: Results) -> Iterator[Verdict]:
    """Yield every demand of the comparison with what was measured."""
    for ratio in _RATIOS:
        yield ratio.verdict(results)
    for ours in _WAYS:
        yield _ideal(results, ours)
    for policy in ("before_dispatch", "after_dispatch"):
        yield _memory(results, policy)


def _ideal(results: Results, ours: str) -> Verdict:
    rate = results.median("ideal", ours, "rate")
    ideal = IDEAL_CONCURRENCY / IDEAL_PAUSE_S
    return Verdict(
        demand=f"1,000 keys, endpoints of 10 ms, 100 {_WAYS[ours]}: share of the ideal throughput",
        bound=0.9,
        measured=rate / ideal if rate else None,
    )


def _memory(results: Results, policy: str) -> Verdict:
    points = results.points("backlog", f"ours {policy}", "rss_mb")
    return Verdict(
        demand=f"RSS with a backlog of {_last(points):,.0f} to that with the smallest, {policy}",
        bound=1.5,
        measured=points[-1][1].median / points[0][1].median if len(points) > 1 else None,
        at_least=False,
    )


def _last(points: list[tuple[float, object]]) -> float:
    return points[-1][0] if points else 1_000_000


def curve_verdicts(results: Results) -> Iterator[tuple[str, Verdict]]:
    """Yield the name of each curve of ours with what its lines demand and what was measured."""
    for curve in CURVES:
        for series in results.curves_of(curve.name):
            if series.startswith("raw"):
                continue
            for line in curve.lines:
                points = [
                    (at, found.median)
                    for at, found in results.points(curve.name, series, line.figure)
                ]
                yield (
                    curve.name,
                    Verdict(
                        demand=f"{curve.title}, {series}, {line.figure}: {line.words}",
                        bound=line.bound,
                        measured=line.deviation(points) if len(points) > 1 else None,
                        at_least=line.at_least,
                    ),
                )
