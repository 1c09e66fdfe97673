# SPDX-License-Identifier: Apache-2.0
"""Checks that the figures in README.rst and on the page are those of the run in the repository.

python benchmarks/figures.py             # tells, and ends with 1 if not
python benchmarks/figures.py --write     # writes them anew from the results
"""

from __future__ import annotations

import argparse
import sys

from suite import report
from suite.results import Results


def main() -> int:
    """Check or write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write them anew (needs matplotlib)")
    if parser.parse_args().write:
        report.write(Results.read(report.ROOT / report.FOLDER / report.RESULTS))
    differing = report.differing()
    for path in differing:
        sys.stderr.write(
            f"{path}: its figures are not those of {report.FOLDER / report.RESULTS}: "
            "python benchmarks/figures.py --write\n"
        )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
