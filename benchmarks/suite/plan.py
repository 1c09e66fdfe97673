# SPDX-License-Identifier: Apache-2.0
"""What a run measures, in which order: systems in turns, rounds over all of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from kafka_notify.bench.process import MeasurementFailed
from suite.cases import CASES, LATENCY, RECEIVE, SEND, Case
from suite.curves import CURVES, Curve
from suite.machine import version_of
from suite.measuring import Measuring
from suite.results import Results
from suite.systems import SYSTEMS
from suite.workloads import Series

_WARM_UPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How much is measured.

    Attributes:
        only: Names of cases and curves; all, if there are none.
        rounds: At most.
        minutes: No round but the first goes on after this.
    """

    only: Sequence[str]
    rounds: int
    minutes: float


def names() -> list[str]:
    """Return the names of all cases and curves."""
    return [one.name for one in (*CASES, *CURVES)]


def systems(only: Sequence[str]) -> set[str]:
    """Return the names of the systems that take part in the cases asked for."""
    return {
        series.system for case in CASES if not only or case.name in only for series in case.series
    }


def run(measuring: Measuring, results: Results, asked: Asked) -> None:
    """Measure everything that is asked for; what fails is noted, and the rest goes on."""
    deadline = time.monotonic() + asked.minutes * 60
    cases = [one for one in CASES if not asked.only or one.name in asked.only]
    curves = [one for one in CURVES if not asked.only or one.name in asked.only]
    _warm_up(measuring)
    for number in range(asked.rounds):
        for what in (*cases, *curves):
            if number and time.monotonic() > deadline:
                _say(f"the time is over in round {number + 1}, at {what.name}")
                return
            if number < what.rounds:
                steps = _case(what) if isinstance(what, Case) else _curve(what)
                _measure(list(steps), measuring, results, number=number)


def _warm_up(measuring: Measuring) -> None:
    """Have the broker's compiler at work before anything counts: who came first would pay."""
    for case in (SEND, RECEIVE, LATENCY) * _WARM_UPS:
        measuring.case(case, case.series[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    name: str
    series: Series
    measure: Callable[[Measuring], dict[str, float]]
    keep: Callable[[Results, dict[str, float]], None]


def _case(case: Case) -> Iterator[_Step]:
    for series in case.series:
        yield _Step(
            name=f"{case.name}: {series.key}",
            series=series,
            measure=lambda measuring, series=series: measuring.case(case, series),
            keep=lambda results, found, series=series: results.add(case.name, series.key, found),
        )


def _curve(curve: Curve) -> Iterator[_Step]:
    for at in curve.at:
        for series in curve.series(at):
            yield _Step(
                name=f"{curve.name} {at:g}: {series.key}",
                series=series,
                measure=lambda measuring, series=series: measuring.point(curve, series),
                keep=lambda results, found, series=series, at=at: results.add_point(
                    curve.name, series.key, at, found
                ),
            )


def _measure(
    steps: Sequence[_Step], measuring: Measuring, results: Results, *, number: int
) -> None:
    turned = number % len(steps)
    for step in (*steps[turned:], *steps[:turned]):
        if number >= step.series.rounds or _missing(step.series, results):
            continue
        began = time.monotonic()
        try:
            found = step.measure(measuring)
        except MeasurementFailed as error:
            results.failures.append(f"{step.name}, round {number + 1}: {error}")
            _say(f"{step.name}: FAILED: {error}\n{error.said}")
            continue
        step.keep(results, found)
        told = {name: round(value, 1) for name, value in found.items() if "ed_s" not in name}
        told.pop("began_s", None)
        _say(f"{number + 1} {step.name} ({time.monotonic() - began:.1f} s): {told}")


def _missing(series: Series, results: Results) -> bool:
    package = SYSTEMS[series.system].package
    if version_of(package) is not None:
        return False
    note = f"{SYSTEMS[series.system].title}: left out, {package} is not installed"
    if note not in results.failures:
        results.failures.append(note)
        _say(note)
    return True


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
