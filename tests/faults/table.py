# SPDX-License-Identifier: Apache-2.0
"""Write our figures in the tables of doc/source/faults.rst anew, from the results of runs.

    python tests/faults/table.py RESULTS.jsonl...

Of each row the last cell says which tests it stands for; "N times" in the first, and the second
to fourth, are written by this. A case that has failed, or a row without any case, is an error.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "doc" / "source" / "faults.rst"
COMMAND = re.compile(r"``(test_\w+\.py.*?)``")
Lines = Sequence[dict[str, Any]]


def selects(command: str, test: str) -> bool:
    """Tell whether pytest runs a test with the arguments ``FILE [-k 'A and not B']``."""
    file, _, expression = command.partition(" -k ")
    path, _, name = test.rpartition("/")[2].partition("::")
    words = filter(None, expression.strip('"').split(" and "))
    return path == file and all(
        (word.removeprefix("not ").lower() in name.lower()) != word.startswith("not ")
        for word in words
    )


def total(lines: Lines, name: str) -> int:
    """Return the sum of a figure."""
    return sum(line.get(name, 0) for line in lines)


def figures(lines: Lines) -> str:
    """Return what one policy made of what was sent."""
    if not lines:
        return "\N{EN DASH}"
    lost, again, late = (total(lines, name) for name in ("lost", "duplicates", "out_of_order"))
    parts = [f"lost {lost:,}", f"again {again:,}", f"{late:,} late" if late else "order kept"]
    if lines[0]["policy"] == "share":
        parts.pop()  # it has none
    if 0 < lost <= total(lines, "told_lost"):
        parts[0] += " (announced)"
    if 0 < again <= total(lines, "told_again"):
        parts[1] += " (announced)"
    for name, words in (("dead_letters", "dead letters"), ("redelivered", "handed out again")):
        if count := total(lines, name):
            parts.append(f"{count:,} {words}")
    return ", ".join(parts)


def filled(row: str, results: Lines) -> str:
    """Return a row of a list-table with our figures in it."""
    cells = row.split("\n     - ")
    command = COMMAND.search(cells[-1])
    if command is None:
        return row  # the table's head
    found = [line for line in results if selects(command[1], line["test"])]
    if not found:
        raise SystemExit(f"no results of {command[1]}")
    by_policy = [
        [line for line in found if line["policy"] in policies]
        for policies in (("after_dispatch", "share"), ("before_dispatch",))
    ]
    one = by_policy[0] or by_policy[1]
    times = total([{"times": 1, **line} for line in one], "times")
    cells[0] = re.sub(r"[\d,]+ times", f"{times:,} times", cells[0])
    cells[1] = f"{total(one, 'sent'):,}"
    if failed := total(one, "failed"):
        cells[1] += f"; told of {failed:,} that they failed"
    cells[2:4] = map(figures, by_policy)
    return "\n     - ".join(cells)


def main(files: Sequence[str]) -> None:
    """Write the page anew."""
    results = [json.loads(line) for name in files for line in Path(name).read_text().splitlines()]
    for line in results:
        if line["outcome"] != "passed":
            raise SystemExit(f"{line['test']} has {line['outcome']}")
    first, *rows = PAGE.read_text().split("\n   * - ")
    PAGE.write_text("\n   * - ".join([first, *(filled(row, results) for row in rows)]))


if __name__ == "__main__":
    main(sys.argv[1:])
