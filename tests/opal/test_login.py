# SPDX-License-Identifier: Apache-2.0
"""A Kafka that asks who it is: by the URL, and by the stock broadcaster's environment."""

from __future__ import annotations

import asyncio
import json

import pytest

from kafka_notify.broker import Cluster
from kafka_notify.opal import KafkaBroadcast
from kafka_notify.opal.backbone import close_all
from tests.cli.commands import run

pytestmark = pytest.mark.functional

PASSWORD = "s3cret+<pw>"
WAIT_S = 60.0
EVENT = json.dumps({"notifier_id": "x", "topics": ["t"], "data": 1})


def there_and_back(url: str, channel: str) -> str:
    async def main() -> str:
        try:
            broadcast = KafkaBroadcast(url)
            async with broadcast.subscribe(channel) as subscriber:
                await broadcast.publish(channel, EVENT)
                return str((await subscriber.__anext__()).message)
        finally:
            await close_all()

    return asyncio.run(asyncio.wait_for(main(), WAIT_S))


def test_logging_in(unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cluster: by the URL, by the variables that stock servers have, and in vain."""
    with Cluster(nodes=1, sasl={"alice": PASSWORD}) as cluster:
        by_the_url(cluster.sasl_bootstrap, unique)
        a_wrong_password_is_told_and_not_shown(cluster.sasl_bootstrap, unique)
        by_the_environment(cluster.sasl_bootstrap, unique, monkeypatch)


def by_the_url(bootstrap: str, channel: str) -> None:
    """User and password, percent-encoded."""
    url = (
        f"kafka://alice:s3cret%2B%3Cpw%3E@{bootstrap}"
        "/?security_protocol=SASL_PLAINTEXT&sasl_mechanism=PLAIN"
    )
    assert there_and_back(url, channel) == EVENT


def by_the_environment(bootstrap: str, channel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables are enough."""
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "SCRAM-SHA-256")
    monkeypatch.setenv("KAFKA_PLAIN_USERNAME", "alice")
    monkeypatch.setenv("KAFKA_PLAIN_PASSWORD", PASSWORD)
    assert there_and_back(f"kafka://{bootstrap}", channel) == EVENT


def a_wrong_password_is_told_and_not_shown(bootstrap: str, channel: str) -> None:
    """The command says what the brokers say, and what to check."""
    url = f"kafka://alice:wr0ng@{bootstrap}/?security_protocol=SASL_PLAINTEXT"
    done = run(
        "publish-data-update", "--url", url, "--channel", channel, "--src-url", "x",
        "--timeout", "8",
    )  # fmt: skip
    assert done.code == 1
    assert "check user and password" in done.err
    assert "wr0ng" not in done.err
