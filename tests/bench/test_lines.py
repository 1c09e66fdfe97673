# SPDX-License-Identifier: Apache-2.0
"""What the curves of the comparison should be: which points keep to a line."""

from __future__ import annotations

import pytest
from suite import lines
from suite.curves import CURVES
from suite.systems import SYSTEMS
from suite.workloads import AFTER, merged


@pytest.mark.parametrize(
    ("line", "points", "holds"),
    [
        (lines.flat_rate(), [(1, 100), (10, 71), (100, 130)], True),
        (lines.flat_rate(), [(1, 100), (10, 69), (100, 130)], False),
        (lines.flat_memory(), [(1, 100), (10, 149)], True),
        (lines.flat_memory(), [(1, 100), (10, 151), (100, 100)], False),
        (lines.each_costs(2, figure="x", unit="ms"), [(1, 5), (11, 24)], True),
        (lines.each_costs(2, figure="x", unit="ms"), [(1, 5), (11, 26)], False),
        (lines.each_takes(1), [(1, 100_000), (100, 1e6 / 108)], True),
        (lines.each_takes(1), [(1, 100_000), (100, 1e6 / 110)], False),
        (lines.no_faster_than_size(), [(300, 100_000), (3000, 9_000), (30_000, 700)], True),
        (lines.no_faster_than_size(), [(300, 100_000), (3000, 9_000), (30_000, 550)], False),
    ],
)
def test_points_keep_to_a_line(
    line: lines.Line, points: list[tuple[float, float]], holds: bool
) -> None:
    """On the line's side of the bound, or not."""
    assert line.holds(points) is holds


def test_the_points_of_each_curve_can_be_measured() -> None:
    """Every point has a series of a known system, and every curve a line."""
    for curve in CURVES:
        assert curve.lines
        for at in curve.at:
            found = curve.series(at)
            assert found
            assert {one.system for one in found} <= SYSTEMS.keys()


def test_options_of_the_url_are_merged() -> None:
    """A case's and a series' options of the transport both count."""
    assert merged(AFTER, {"url": {"workers": 3}}, {"keys": 1}) == {
        "url": {"commit_policy": "after_dispatch", "workers": 3},
        "keys": 1,
    }
