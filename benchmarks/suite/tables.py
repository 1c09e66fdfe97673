# SPDX-License-Identifier: Apache-2.0
"""Tables of reStructuredText from the figures of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from suite import targets, words
from suite.cases import CASES, Case
from suite.curves import CURVES, Curve
from suite.results import Results

_PERCENTILES = ("p50_ms", "p99_ms")


def list_table(rows: Iterable[Sequence[str]]) -> str:
    """Return a list-table whose first row is its head."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        for number, cell in enumerate(row):
            lines.append(f"   {'* -' if number == 0 else '  -'} {cell}".rstrip())
    return "\n".join(lines) + "\n"


def case_table(case: Case, results: Results) -> str:
    """Return the table of a case: a row for each series, medians with their spread."""
    head = ["System", *(words.HEADINGS[figure] for figure in case.figures), "rounds"]
    rows = [head]
    for series in case.series:
        rounds = results.cases.get(case.name, {}).get(series.key, [])
        if rounds:
            found = [results.spread(case.name, series.key, one) for one in case.figures]
            rows.append([words.title_of(series.key), *map(words.spread, found), str(len(rounds))])
    return list_table(rows)


def curve_table(curve: Curve, results: Results) -> str:
    """Return the table of a curve: a row for each point."""
    figures = list(dict.fromkeys(["rate", *(line.figure for line in curve.lines), "rss_mb"]))
    rows = [["System", curve.grows, *(words.HEADINGS[one] for one in figures)]]
    for series in results.curves_of(curve.name):
        columns = {one: dict(results.points(curve.name, series, one)) for one in figures}
        for at in columns[figures[0]]:
            found = [columns[one].get(at) for one in figures]
            rows.append([words.title_of(series), f"{at:,.0f}", *map(words.spread, found)])
    return list_table(rows)


def target_table(results: Results) -> str:
    """Return what was to be reached and what was."""
    rows = [["Demand", "Target", "Measured", "Met"]]
    for one in targets.verdicts(results):
        rows.append([one.demand, one.target, _measured(one), words.met(one.met)])
    return list_table(rows)


def line_table(results: Results) -> str:
    """Return what the curves should be and what they are."""
    rows = [["Curve", "Bound", "Measured", "Met"]]
    for _, one in targets.curve_verdicts(results):
        rows.append([one.demand, one.target, _measured(one), words.met(one.met)])
    return list_table(rows)


def _measured(verdict: targets.Verdict) -> str:
    if verdict.measured is None:
        return "\N{EN DASH}"
    return f"{verdict.measured:.2f}"


def about(results: Results) -> str:
    """Return on what, with what and when it was measured."""
    machine = results.about["machine"]
    versions = ", ".join(f"{name} {one}" for name, one in results.about["versions"].items())
    return (
        f"One run of ``{results.about['command']}`` on {results.about['date']}, "
        f"{results.about['minutes']} minutes: {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_gib']} GiB, {machine['system']}; {versions}. "
        f"Notifications: {results.about['notifications']}.\n"
    )


def failures(results: Results) -> str:
    """Return what could not be measured, as a list; nothing if there is nothing."""
    return "".join(f"- Not measured: {_one_line(one)}\n" for one in results.failures)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300].replace("*", "\\*").replace("`", "'").replace("_", "\\_")


def readme_table(results: Results) -> str:
    """Return the few figures that the README shows."""
    columns = {
        "kafka-notify": ("ours", "ours before_dispatch"),
        "as the plug-in of oslo.messaging": ("plugin", "plugin before_dispatch"),
        "oslo.messaging's kafka://": ("upstream", "upstream"),
        "raw client": ("raw", "raw commit per 500"),
    }
    latency = {"raw commit per 500": "raw commit first"}
    rows = [["Medians of one run", *columns]]
    for label, case, figure, which in (
        ("Send, confirmed, per second", "send", "rate", 0),
        ("Receive and dispatch, per second", "receive", "rate", 1),
        ("Latency, p50, ms", "latency", "p50_ms", 1),
        ("Latency, p99, ms", "latency", "p99_ms", 1),
    ):
        cells = []
        for pair in columns.values():
            series = pair[which]
            if case == "latency":
                series = latency.get(series, series)
            found = results.median(case, series, figure)
            cells.append("\N{EN DASH}" if found is None else words.number(found))
        rows.append([label, *cells])
    return list_table(rows)


def everything(results: Results) -> str:
    """Return the tables of all cases and curves, with headings and plots."""
    parts = []
    for title, measured in (("Figures", _cases(results)), ("How cost grows", _curves(results))):
        sections = list(measured)
        if sections:
            parts.append(f"{title}\n{'=' * len(title)}\n")
            parts += sections
    return "\n".join(parts)


def _cases(results: Results) -> Iterable[str]:
    for case in CASES:
        if results.cases.get(case.name):
            yield _section(case.title, case_table(case, results), case.name)


def _curves(results: Results) -> Iterable[str]:
    if results.curves:
        yield line_table(results)
    for curve in CURVES:
        if results.curves.get(curve.name):
            yield _section(curve.title, curve_table(curve, results), curve.name)


def _section(title: str, table: str, name: str) -> str:
    image = f".. image:: benchmarks/{name}.svg\n   :alt: {title}\n"
    return f"{title}\n{'-' * len(title)}\n\n{image}\n{table}"
