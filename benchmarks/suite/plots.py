# SPDX-License-Identifier: Apache-2.0
"""Plots of a run, as SVG: bars for the cases, lines for the curves. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from suite import words
from suite.cases import CASES, Case
from suite.curves import CURVES, Curve
from suite.results import Results

_OURS, _OTHERS = "#1f6fb4", "#9aa5b1"
_OF_US = ("ours", "plugin", "embedded")
_WIDTH_IN = 8.0
_MANY_TIMES = 50


def draw(results: Results, folder: Path) -> None:
    """Draw everything that was measured into a folder."""
    import matplotlib

    matplotlib.use("svg")
    # The same figures shall give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "kafka-notify"
    matplotlib.rcParams["svg.fonttype"] = "none"
    for case in CASES:
        if results.cases.get(case.name):
            _save(_bars(case, results), folder / f"{case.name}.svg")
    for curve in CURVES:
        if results.curves.get(curve.name):
            _save(_lines(curve, results), folder / f"{curve.name}.svg")


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)


def _bars(case: Case, results: Results) -> Any:
    from matplotlib import pyplot

    shown = case.figures[:1] if not case.figures[0].startswith("p50") else case.figures[:3]
    series = [one.key for one in case.series if results.cases[case.name].get(one.key)][::-1]
    size = (_WIDTH_IN, 0.9 + 0.3 * len(series))
    figure, axes = pyplot.subplots(1, len(shown), figsize=size, sharey=True, squeeze=False)
    for axis, name in zip(axes[0], shown, strict=True):
        _bar(axis, case, results, series=series, name=name)
    figure.suptitle(case.title, fontsize=9)
    return figure


def _bar(axis: Any, case: Case, results: Results, *, series: list[str], name: str) -> None:
    found = [results.spread(case.name, one, name) for one in series]
    places = [number for number, one in enumerate(found) if one is not None]
    there = [one for one in found if one is not None]
    medians = [one.median for one in there]
    axis.barh(
        places,
        medians,
        color=[_OURS if series[at].split()[0] in _OF_US else _OTHERS for at in places],
        xerr=[
            [one.median - one.lowest for one in there],
            [one.highest - one.median for one in there],
        ],
        error_kw={"elinewidth": 0.8, "ecolor": "#333333"},
    )
    axis.set_yticks(range(len(series)), [words.title_of(one) for one in series], fontsize=7)
    axis.tick_params(axis="x", labelsize=7)
    axis.set_xlabel(words.HEADINGS[name], fontsize=8)
    if max(medians) > _MANY_TIMES * min(medians):
        axis.set_xscale("log")


def _lines(curve: Curve, results: Results) -> Any:
    from matplotlib import pyplot

    shown = list(dict.fromkeys(["rate", *(line.figure for line in curve.lines)]))
    figure, axes = pyplot.subplots(
        1, len(shown), figsize=(_WIDTH_IN, 2.6), squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes[0], shown, strict=True):
        for series in results.curves_of(curve.name):
            points = results.points(curve.name, series, name)
            axis.errorbar(
                [at for at, _ in points],
                [one.median for _, one in points],
                yerr=[
                    [one.median - one.lowest for _, one in points],
                    [one.highest - one.median for _, one in points],
                ],
                marker="o",
                markersize=3,
                linewidth=1,
                color=_OTHERS if series.startswith("raw") else None,
                label=words.title_of(series),
            )
        if min(curve.at) > 0:
            axis.set_xscale("log")
        else:
            axis.set_xscale("symlog", linthresh=min(at for at in curve.at if at))
        _scale_upwards(axis, curve, results, name=name)
        axis.set_xlabel(curve.grows, fontsize=8)
        axis.set_ylabel(words.HEADINGS[name], fontsize=8)
        axis.tick_params(labelsize=7)
    axes[0][0].legend(fontsize=7, loc="best")
    figure.suptitle(curve.title, fontsize=9)
    return figure


def _scale_upwards(axis: Any, curve: Curve, results: Results, *, name: str) -> None:
    medians = [
        one.median
        for series in results.curves_of(curve.name)
        for _, one in results.points(curve.name, series, name)
    ]
    if max(medians) > _MANY_TIMES * min(medians):
        axis.set_yscale("log")
    else:
        axis.set_ylim(bottom=0)
