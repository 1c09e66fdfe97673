# SPDX-License-Identifier: Apache-2.0
"""A process that eventlet has patched: no call of ours keeps its other green threads waiting."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Kafka
from tests.oslo.conftest import url_of
from tests.scenarios.processes import Process

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(
        importlib.util.find_spec("eventlet") is None, reason="eventlet is not installed"
    ),
]

WORKERS = Path(__file__).parent / "workers"
NOWHERE = "kafka-notify://127.0.0.1:1/?delivery=confirm&confirm_timeout=2"
END_S = 120.0

# The other green thread ticks every 5 ms; a hub that is blocked gives it one turn, if any.
LEAST = {"start": 20, "send": 5, "idle": 50, "confirm": 50, "stop": 3}


def test_other_green_threads_go_on(
    kafka: Kafka, start: Callable[..., Process], unique: str
) -> None:
    """While a listener starts, polls and stops, and while a send waits for nobody's answer."""
    options = {"consumer_group": unique, "client_options": "debug:cgrp"}  # that logs a lot
    url = url_of(kafka, vhost=unique, **options)
    process = start("-W", "ignore", WORKERS / "green.py", url, NOWHERE)
    assert process.end(END_S) == 0, process.log
    assert process.lines("got ") == ["300"]
    for what, least in LEAST.items():
        [turns] = process.lines(f"{what} ")
        assert int(turns) >= least, what
