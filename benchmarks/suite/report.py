# SPDX-License-Identifier: Apache-2.0
"""Writes a run's figures where readers find them, and tells where others stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from suite import tables, targets
from suite.results import Results

ROOT = Path(__file__).parents[2]
PAGE = Path("doc/source/benchmarks.rst")
README = Path("README.rst")
FOLDER = Path("doc/source/benchmarks")
RESULTS = "results.json"
_NONE_YET = "There is no run in the repository: ``tox -e bench`` makes one.\n"


def write(results: Results, keep: Path | None = None) -> None:
    """Write the results, the plots, the page and the README's figures.

    With ``keep`` into that folder alone, where the page's figures are ``figures.rst``.
    """
    from suite import plots

    folder = keep or ROOT / FOLDER
    results.write(folder / RESULTS)
    plots.draw(results, folder)
    if keep:
        text = "\n".join(blocks(results).values())
        (keep / "figures.rst").write_text(text, encoding="utf-8")
        return
    for path, text in _expected(results):
        path.write_text(text, encoding="utf-8")


def differing() -> list[Path]:
    """Return the documents whose figures are not those of the results in the repository."""
    path = ROOT / FOLDER / RESULTS
    results = Results.read(path) if path.exists() else None
    return [
        path.relative_to(ROOT)
        for path, text in _expected(results)
        if path.read_text(encoding="utf-8") != text
    ]


def blocks(results: Results | None) -> dict[str, str]:
    """Return the parts of documents that are made from the results, by their names there."""
    if results is None:
        return dict.fromkeys(("about", "targets", "everything", "readme"), _NONE_YET)
    return {
        "about": "\n".join(filter(None, (tables.about(results), tables.failures(results)))),
        "targets": tables.target_table(results),
        "everything": tables.everything(results),
        "readme": tables.readme_table(results) + "\n" + tables.about(results),
    }


def _expected(results: Results | None) -> Iterator[tuple[Path, str]]:
    made = blocks(results)
    for path in (PAGE, README):
        text = (ROOT / path).read_text(encoding="utf-8")
        for name, block in made.items():
            text = _replaced(text, name, block)
        yield ROOT / path, text


def _replaced(text: str, name: str, block: str) -> str:
    """Return the text with what stands between the marks of that name replaced, if it has them."""
    begin, end = f".. figures of a run: {name}\n", f".. end of figures: {name}\n"
    pattern = re.compile(f"({re.escape(begin)}).*?({re.escape(end)})", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}\n{block}\n{found[2]}", text)


def as_text(results: Results) -> str:
    """Return what was measured for a terminal: the demands, then every figure's median."""
    lines = []
    for one in (*targets.verdicts(results), *(one for _, one in targets.curve_verdicts(results))):
        if one.measured is not None:
            word = "met" if one.met else "MISSED"
            lines.append(f"{word:7} {one.measured:8.2f} {one.target:14} {one.demand}")
    return "".join(f"{line}\n" for line in lines)
