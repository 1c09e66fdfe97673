# SPDX-License-Identifier: Apache-2.0
"""Relays under test: processes, started by the command as a user starts it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import Kafka

Start = Callable[..., Any]


@pytest.fixture
def relay(kafka: Kafka, unique: str, tmp_path: Path, example: ModuleType) -> Iterator[Start]:
    """Yield a function that starts a relay and returns it once it is ready."""
    with ExitStack() as open_ones:

        def start(*options: object, url: str = "", env: dict[str, str] | None = None) -> Any:
            port = example.free_port()
            command = [
                sys.executable, "-m", "kafka_notify", "relay", "--port", str(port),
                "--url", url or str(kafka.url()), "--channel", unique, *map(str, options),
            ]  # fmt: skip
            process = example.Process(f"relay-{port}", command, folder=tmp_path, env=env or {})
            open_ones.callback(process.kill)
            made = example.Server(process, f"http://{example.HOST}:{port}")
            made.process.await_answer(f"{made.url}/ready")
            return made

        yield start
