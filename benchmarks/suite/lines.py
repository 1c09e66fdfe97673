# SPDX-License-Identifier: Apache-2.0
"""What a curve should be: a line, and whether the points keep to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Points = Sequence[tuple[float, float]]
"""What grows, and the figure there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One demand on a curve.

    Attributes:
        figure: What of the measurements is looked at.
        words: The line, for a reader.
        deviation: How far the points are from it.
        bound: What ``deviation`` may be at most, or at least with ``at_least``.
    """

    figure: str
    words: str
    deviation: Callable[[Points], float]
    bound: float
    at_least: bool = False

    def holds(self, points: Points) -> bool:
        """Tell whether the points keep to the line."""
        value = self.deviation(points)
        return value >= self.bound if self.at_least else value <= self.bound


def flat_rate(figure: str = "rate", bound: float = 0.7) -> Line:
    """Demand that a rate does not fall."""
    return Line(
        figure=figure,
        words=f"flat: nowhere below {bound:g} of the first point",
        deviation=lambda points: min(value for _, value in points) / points[0][1],
        bound=bound,
        at_least=True,
    )


def flat_memory(bound: float = 1.5) -> Line:
    """Demand that memory does not grow."""
    return Line(
        figure="rss_mb",
        words=f"flat: nowhere above {bound:g} times the first point",
        deviation=lambda points: max(value for _, value in points) / points[0][1],
        bound=bound,
    )


def each_costs(most: float, *, figure: str, unit: str) -> Line:
    """Demand that each of what there is more of adds at most so much."""
    return Line(
        figure=figure,
        words=f"linear: each one more adds at most {most:g} {unit}",
        deviation=lambda points: max(
            (value - points[0][1]) / (x - points[0][0]) for x, value in points[1:]
        ),
        bound=most,
    )


def each_takes(most_us: float) -> Line:
    """Demand that each of what there is more of adds so many µs to a notification's time."""
    return Line(
        figure="rate",
        words=f"linear: each one more adds at most {most_us:g} µs to a notification's time",
        deviation=lambda points: max(
            (1e6 / rate - 1e6 / points[0][1]) / (x - points[0][0]) for x, rate in points[1:]
        ),
        bound=most_us,
    )


def no_faster_than_size(bound: float = 1.5) -> Line:
    """Demand that a notification's time grows no faster than its size, from point to point.

    The bound is for the processor: what exceeds its caches takes longer.
    """
    return Line(
        figure="rate",
        words=f"linear: from each point to the next the time grows at most {bound:g} times as "
        "much as the size",
        deviation=lambda points: max(
            (before / after) / (larger / smaller)
            for (smaller, before), (larger, after) in itertools.pairwise(points)
        ),
        bound=bound,
    )
