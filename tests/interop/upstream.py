# SPDX-License-Identifier: Apache-2.0
"""Upstream's listener in a process of its own: where its programs are, and what it got."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.scenarios.processes import Process
from tests.waiting import eventually

WORKERS = Path(__file__).parent / "workers"


def warm_up(upstream: Process, send: Callable[[str], None]) -> None:
    """Return when upstream's listener gets what is sent.

    It misses what comes before, and the first record that it takes.
    """

    def heard() -> bool:
        send("warm-up")
        return bool(upstream.lines("got "))

    eventually(heard, 60, "anything at upstream's listener")


def payloads(upstream: Process) -> list[Any]:
    """Return what upstream's listener got since it was warm."""
    found = [json.loads(line)[4] for line in upstream.lines("got ")]
    return [payload for payload in found if payload != "warm-up"]
