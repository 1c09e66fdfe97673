# SPDX-License-Identifier: Apache-2.0
"""Clusters for the asyncio face: in memory, embedded, and a real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import kafka_notify


@pytest.fixture(params=["memory", "embedded", pytest.param("kafka", marks=pytest.mark.functional)])
def url(request: pytest.FixtureRequest, unique: str) -> Iterator[str]:
    """Yield the transport URL of a cluster, which lives until the test is over."""
    if request.param == "kafka":
        yield str(request.getfixturevalue("kafka").url())
        return
    with kafka_notify.get_notification_transport(url=f"{request.param}://{unique}/") as holding:
        yield str(holding.url)
