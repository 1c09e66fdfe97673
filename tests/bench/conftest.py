# SPDX-License-Identifier: Apache-2.0
"""The comparison in benchmarks/ is no part of the package: it is found by its folder."""

from __future__ import annotations

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

sys.path.insert(0, str(BENCHMARKS))
