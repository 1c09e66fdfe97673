# SPDX-License-Identifier: Apache-2.0
"""The main job on a real Kafka: notifications like Nova's from a file to two pools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kafka_notify.demo.samples import sample_notifications
from tests.cli.commands import Running, run

COUNT = 140
# Nova's own samples, where a checkout stands beside them.
NOVA_SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "nova-notifications.jsonl"


@pytest.fixture(params=["made-up", *(["nova"] if NOVA_SAMPLES.exists() else [])])
def notifications(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a file of COUNT notifications: made up ones like Nova's, and Nova's own."""
    if request.param == "nova":
        return NOVA_SAMPLES
    made = tmp_path / "notifications.jsonl"
    rows = [one._asdict() for one in sample_notifications(COUNT)]
    made.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return made


def comparable(line: dict[str, Any]) -> str:
    """Return what a notification is, without what the library adds."""
    names = ("priority", "publisher_id", "event_type", "payload")
    fields = {name: line[name] for name in names}
    fields["priority"] = fields["priority"].lower()
    return json.dumps(fields, sort_keys=True)


@pytest.mark.functional
@pytest.mark.parametrize("vhost", ["", "cell1"])
def test_each_pool_gets_all_once(vhost: str, kafka: Any, unique: str, notifications: Path) -> None:
    """Listeners that start first, on topics that do not exist, miss nothing; payloads equal."""
    arguments = ("--url", kafka.url(vhost), "--topic", unique)
    expected = sorted(map(comparable, map(json.loads, notifications.read_text().splitlines())))
    assert len(expected) == COUNT

    pools = [Running("listen", *arguments, "--pool", f"{unique}-{name}") for name in "ab"]
    with pools[0], pools[1]:
        for pool in pools:
            pool.wait_for_error_line("Listening")
        sent = run("notify", "-f", "json", *arguments, "--file", notifications)
        for pool in pools:
            pool.wait_for_lines(COUNT)
        results = [pool.interrupt() for pool in pools]

    assert sent.code == 0, sent.err
    assert sent.json() == [{"sent": COUNT, "confirmed": COUNT, "failed": 0, "refused": 0}]
    for result in results:
        assert sorted(map(comparable, result.json_lines())) == expected
