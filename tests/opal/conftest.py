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

NEEDED = ("jwt", "pydantic", "starlette")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
# tox has the [opal] extra wherever these run; who runs pytest on all tests may not.
collect_ignore_glob = ["test_*.py"] if MISSING else []
HAS_OPAL = importlib.util.find_spec("opal_server") is not None
EXAMPLE = Path(__file__).parents[2] / "examples" / "opal" / "fleet.py"


def pytest_report_header() -> str:
    """Say what is left out, and why."""
    if MISSING:
        return f"tests/opal: left out without {', '.join(MISSING)}"
    return "tests/opal: in" if HAS_OPAL else "tests/opal: without OPAL's own server (tox -e opal)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to ``tox -e opal`` what needs OPAL's own server; it takes longer, too."""
    of_opal = [item for item in items if item.get_closest_marker("opal") is not None]
    for item in of_opal:
        item.add_marker(pytest.mark.timeout(900))
    if of_opal and not HAS_OPAL:
        config.hook.pytest_deselected(items=of_opal)
        items[:] = [item for item in items if item.get_closest_marker("opal") is None]


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
