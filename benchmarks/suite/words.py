# SPDX-License-Identifier: Apache-2.0
"""Figures as a reader wants them: units, digits, headings."""

from __future__ import annotations

from suite.results import Spread
from suite.systems import SYSTEMS

HEADINGS = {
    "rate": "per second",
    "sent_rate": "sent per second",
    "drain_rate": "drained per second",
    "seconds": "seconds",
    "cpu_us": "CPU, µs each",
    "log_bytes": "bytes each, in the log",
    "rss_mb": "peak RSS, MB",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "p999_ms": "p99.9, ms",
    "import_ms": "ms",
    "first_ms": "ms",
    "start_ms": "start(), ms",
    "disk_mb": "disk, MB",
}


def title_of(series: str) -> str:
    """Return what a series is called in tables: its system's title and the way."""
    system, _, way = series.partition(" ")
    return f"{SYSTEMS[system].title}{f', {way}' if way else ''}"


def number(value: float) -> str:
    """Return three digits of a number, or all before the point."""
    if value >= 1000:
        rounded = round(value, -2 if value >= 10_000 else -1)
        return f"{rounded:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def spread(found: Spread | None) -> str:
    """Return a median with the lowest and the highest."""
    if found is None:
        return "\N{EN DASH}"
    if found.lowest == found.highest:
        return number(found.median)
    return f"{number(found.median)} ({number(found.lowest)}\N{EN DASH}{number(found.highest)})"


def met(value: bool | None) -> str:
    """Return whether a demand is met, in a word."""
    return {True: "yes", False: "**no**", None: "not measured"}[value]
