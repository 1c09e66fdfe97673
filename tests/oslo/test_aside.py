# SPDX-License-Identifier: Apache-2.0
"""Under eventlet: calls that run in real threads while other green threads go on."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.processes import Process

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(
        importlib.util.find_spec("eventlet") is None, reason="eventlet is not installed"
    ),
]

PROGRAM = Path(__file__).parent / "workers" / "asides.py"
PREFIX = "check_"
CHECKS = [
    one.name.removeprefix(PREFIX)
    for one in ast.parse(PROGRAM.read_text(encoding="utf-8")).body
    if isinstance(one, ast.FunctionDef) and one.name.startswith(PREFIX)
]


@pytest.mark.parametrize("what", CHECKS)
def test_in_a_patched_process(what: str, start: Callable[..., Process]) -> None:
    """What the function of this name in ``workers/asides.py`` says."""
    process = start("-W", "ignore", PROGRAM, what)
    assert process.end() == 0, process.log
