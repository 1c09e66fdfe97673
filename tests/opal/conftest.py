# SPDX-License-Identifier: Apache-2.0
"""OPAL fleets under test: the example's processes, on the Kafka of the tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import Kafka
from tests.opal.relays import relay

__all__ = ["relay"]

NEEDED = ("fastapi_websocket_pubsub", "jwt", "starlette")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
# tox -e opal and -e relay have them all; who runs pytest on the whole folder may not.
collect_ignore_glob = ["test_*.py"] if MISSING else []
EXAMPLE = Path(__file__).parents[2] / "examples" / "opal" / "fleet.py"


def pytest_report_header() -> str:
    """Say what is left out, and why."""
    return f"tests/opal: left out without {', '.join(MISSING)}" if MISSING else "tests/opal: in"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is here needs more than the unit tests have."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.functional)
            item.add_marker(pytest.mark.timeout(900))


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("opal_fleet", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


fleet_module = _load()


@pytest.fixture(scope="session")
def example() -> ModuleType:
    """Return the example's module."""
    return fleet_module


@pytest.fixture
def fleet(kafka: Kafka, unique: str) -> Iterator[object]:
    """Yield a fleet on a topic of its own, with nothing in it yet."""
    with fleet_module.Fleet(kafka.bootstrap, channel=unique) as made:
        yield made
