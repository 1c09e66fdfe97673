# SPDX-License-Identifier: Apache-2.0
"""Clusters for the asyncio face: in memory, embedded, and a real one."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["memory", "embedded", pytest.param("kafka", marks=pytest.mark.functional)])
def url(request: pytest.FixtureRequest, unique: str) -> str:
    """Return the transport URL of a cluster."""
    if request.param == "kafka":
        return str(request.getfixturevalue("kafka").url())
    return f"{request.param}://{unique}/"
