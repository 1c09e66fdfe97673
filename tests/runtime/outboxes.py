# SPDX-License-Identifier: Apache-2.0
"""What the tests of the outbox share: sending, and looking at what became of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import kafka_notify
from kafka_notify.drivers.memory_cluster import MemoryCluster

BOUND_S = 30.0
TOPIC = "notifications.info"
MODES = pytest.mark.parametrize("mode", ["always", "on_failure"])


def send(transport: Any, payloads: Any, publisher: str = "p") -> None:
    notifier = kafka_notify.Notifier(transport, publisher)
    for payload in payloads:
        notifier.info({}, "e", payload)


def arrived(cluster: MemoryCluster, topic: str = TOPIC) -> list[Any]:
    """Return the payloads in a topic."""
    values = [record.value or b"" for record in cluster.records(topic)]
    return [json.loads(json.loads(value)["oslo.message"])["payload"] for value in values]


def events(transport: Any, kind: type) -> list[Any]:
    return [event for event in transport.events if isinstance(event, kind)]


def files(spool: Path, end: str = ".sqlite3") -> list[Path]:
    return sorted(path for path in spool.glob("*/*") if path.name.endswith(end))
