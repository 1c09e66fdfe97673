# SPDX-License-Identifier: Apache-2.0
"""The figures that readers see are those of the run in the repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from suite import report, tables
from suite.results import Results

ROOT = Path(__file__).parents[2]


def about(**more: object) -> dict[str, object]:
    return {
        "command": "tox -e bench",
        "date": "2026-11-30",
        "minutes": 24.0,
        "notifications": "made up",
        "machine": {"cores": 2, "processor": "a", "memory_gib": 8, "system": "Linux 6"},
        "versions": {"Python": "3.11"},
        **more,
    }


@pytest.fixture
def results() -> Results:
    found = Results(about=about())
    for rate in (30_000.0, 50_000.0, 40_000.0):
        found.add("send", "ours", {"rate": rate, "began_s": 1.0})
    found.add("send", "upstream", {"rate": 10_000.0})
    found.add("send", "raw", {"rate": 100_000.0})
    return found


def test_readme_and_page_have_the_figures_of_the_repository_s_run() -> None:
    """The script says so, and would name the document that differs."""
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "figures.py"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_changed_figure_is_found(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One digit in the README that is not the results' is enough."""
    monkeypatch.setattr(report, "ROOT", tmp_path)
    results.write(tmp_path / report.FOLDER / report.RESULTS)
    for path in (report.PAGE, report.README):
        text = (ROOT / path).read_text(encoding="utf-8")
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    for path, text in report._expected(results):
        path.write_text(text, encoding="utf-8")
    assert report.differing() == []

    readme = tmp_path / report.README
    text = readme.read_text(encoding="utf-8")
    assert text.count("40,000") == 1
    readme.write_text(text.replace("40,000", "41,000"), encoding="utf-8")

    assert report.differing() == [report.README]


def test_demands_are_ratios_of_medians(results: Results) -> None:
    """The row of the table says target, ratio and whether it is met; what is missing, too."""
    table = tables.target_table(results)

    assert (
        "   * - Send, confirmed: kafka-notify to upstream\n"
        "     - at least 3\n"
        "     - 4.00\n"
        "     - yes\n"
    ) in table
    assert (
        "   * - Send, confirmed: kafka-notify to raw produce\n"
        "     - at least 0.45\n"
        "     - 0.40\n"
        "     - **no**\n"
    ) in table
    assert "not measured" in table


def test_results_are_read_as_they_were_written(results: Results, tmp_path: Path) -> None:
    """Every round is kept; clock times, which mean nothing later, are not."""
    results.add_point("backlog", "ours before_dispatch", 1_000_000, {"rate": 1.0})
    results.write(tmp_path / "results.json")

    again = Results.read(tmp_path / "results.json")

    assert again == results
    assert again.cases["send"]["ours"][0] == {"rate": 30_000.0}
    assert again.points("backlog", "ours before_dispatch", "rate")[0][0] == 1_000_000
