# SPDX-License-Identifier: Apache-2.0
"""The drivers under test. A new driver is added here, and passes the conformance suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.drivers.bench import Bench


@pytest.fixture(
    params=[
        "memory",
        "embedded-consumer",
        "embedded-classic",
        pytest.param("kafka-consumer", marks=pytest.mark.functional),
        pytest.param("kafka-classic", marks=pytest.mark.functional),
    ]
)
def kind(request: pytest.FixtureRequest) -> str:
    """Return the driver's name, and the group protocol where there is a choice."""
    return str(request.param)


@pytest.fixture
def cluster_url(kind: str, request: pytest.FixtureRequest, unique: str) -> str:
    """Return the URL of a cluster of this kind."""
    driver, _, protocol = kind.partition("-")
    if driver == "memory":
        return f"memory://{unique}/"
    # No divisor of 3 s, for which the mock has a first member wait: librdkafka joins anew if news
    # of topics come right after the answer, and then each time.
    query = f"group_protocol={protocol}&topic_refresh=0.7"
    if driver == "embedded":
        return f"embedded://{unique}/?{query}"
    return f"kafka://{request.getfixturevalue('kafka').bootstrap}/?{query}"


@pytest.fixture
def bench(cluster_url: str) -> Iterator[Bench]:
    """Yield a bench for the cluster."""
    opened = Bench(cluster_url)
    yield opened
    opened.close()
