# SPDX-License-Identifier: Apache-2.0
"""The figures of a run: every one of them, in a file of JSON; medians and spreads of them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

Figures = Mapping[str, float]
_DIGITS = 6
_CLOCK_TIMES = ("began_s", "ended_s")


class Spread(NamedTuple):
    """What several rounds gave."""

    median: float
    lowest: float
    highest: float


def spread(values: list[float]) -> Spread:
    """Return the spread of some values; there must be one."""
    return Spread(statistics.median(values), min(values), max(values))


@dataclass(kw_only=True)
class Results:
    """A run.

    Attributes:
        about: Machine, versions, command, times.
        cases: Case, series, then the figures of each round.
        curves: Curve, series, point, then the figures of each round.
        failures: What could not be measured, and why.
    """

    about: dict[str, Any] = field(default_factory=dict)
    cases: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    curves: dict[str, dict[str, dict[str, list[Figures]]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, case: str, series: str, figures: Figures) -> None:
        """Keep the figures of one round of a case."""
        self.cases.setdefault(case, {}).setdefault(series, []).append(_rounded(figures))

    def add_point(self, curve: str, series: str, at: float, figures: Figures) -> None:
        """Keep the figures of one round of a point."""
        points = self.curves.setdefault(curve, {}).setdefault(series, {})
        points.setdefault(f"{at:g}" if at < 1e5 else f"{at:.0f}", []).append(_rounded(figures))

    def spread(self, case: str, series: str, figure: str) -> Spread | None:
        """Return what the rounds gave; None where nothing was measured."""
        rounds = self.cases.get(case, {}).get(series, [])
        values = [one[figure] for one in rounds if figure in one]
        return spread(values) if values else None

    def median(self, case: str, series: str, figure: str) -> float | None:
        """Return the median of the rounds; None where nothing was measured."""
        found = self.spread(case, series, figure)
        return None if found is None else found.median

    def points(self, curve: str, series: str, figure: str) -> list[tuple[float, Spread]]:
        """Return the points of a curve that were measured, in their order."""
        found = self.curves.get(curve, {}).get(series, {})
        return sorted(
            (float(at), spread([one[figure] for one in rounds if figure in one]))
            for at, rounds in found.items()
            if any(figure in one for one in rounds)
        )

    def curves_of(self, curve: str) -> Iterator[str]:
        """Yield the names of a curve's series."""
        yield from self.curves.get(curve, {})

    def write(self, path: Path) -> None:
        """Write the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "about": self.about,
            "cases": self.cases,
            "curves": self.curves,
            "failures": self.failures,
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Results:
        """Return what a file holds."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def _rounded(figures: Figures) -> Figures:
    return {
        name: float(f"{value:.{_DIGITS}g}")
        for name, value in figures.items()
        if name not in _CLOCK_TIMES
    }
