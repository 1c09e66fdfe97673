# SPDX-License-Identifier: Apache-2.0
"""Real OPAL servers and clients: ours, mixed with stock ones, both ways."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.conftest import Kafka
from tests.opal import bare

pytestmark = [pytest.mark.functional, pytest.mark.opal]

GUIDE = (
    '{"notifier_id": "9a9a97df1da64486a1a56a070f1c3db3", "topics": ["policy_data"], "data": '
    '{"id": null, "entries": [{"url": "%s", "config": {}, "topics": ["policy_data"], '
    '"dst_path": "/users/bob/location", "save_method": "PUT"}], "reason": "User reconnected from '
    'new IP", "callback": {"callbacks": []}}}'
)
ARRIVES_S = 60.0  # on a machine that does other things, too


def started(fleet: Any, first: str, second: str) -> tuple[Any, Any]:
    servers = [fleet.server(f"server-{n}", app=app) for n, app in enumerate((first, second), 1)]
    for server in servers:
        server.await_up()
    fleet.client(servers[0].url)
    servers[0].await_subscriber("policy_data")
    return servers[0], servers[1]


@pytest.mark.parametrize("kinds", ["ours ours", "ours stock", "stock ours"])
def test_an_update_at_one_server_reaches_the_client_of_the_other(
    example: Any, fleet: Any, kafka: Kafka, kinds: str
) -> None:
    """Posted to server 2 and stored in OPA by the client of server 1, whoever they are.

    And what is on the topic is what stock servers write.
    """
    apps = [example.OURS if kind == "ours" else example.STOCK for kind in kinds.split()]
    # A stock reader that subscribes to a missing topic is deaf for five minutes.
    bare.make_topic(kafka.bootstrap, fleet.channel)
    first, second = started(fleet, *apps)
    if "stock" in kinds:
        example.wait_for(
            "the stock reader",
            lambda: "Broadcaster listener connected" in first.process.text,
            ARRIVES_S,
        )
        example.wait_for(
            "an update through the stock backend",
            lambda: (second.post("/warm", {"up": 1}), fleet.opa.data.get("/warm"))[1],
            ARRIVES_S,
        )
    assert second.post("/users/bob/location", {"city": "Berlin"}) == (200, {"status": "ok"})
    example.wait_for(
        "the update in OPA",
        lambda: fleet.opa.data.get("/users/bob/location") == {"city": "Berlin"},
        ARRIVES_S,
    )
    assert "Broadcasting incoming event" in second.process.text
    record = bare.read(kafka.bootstrap, fleet.channel)[-1]
    assert record["topics"] == ["policy_data"]
    assert list(record) == ["notifier_id", "topics", "data"]
    assert list(record["data"]) == ["id", "entries", "reason", "callback"]


def test_events_written_to_the_topic(example: Any, fleet: Any, kafka: Kafka) -> None:
    """The guide's example to the letter, the minimal form, and bad ones among them.

    The topic does not exist before, and the first event arrives within 10 s; each bad record
    costs itself only.
    """
    server = fleet.server("server-1")
    server.await_up()
    fleet.client(server.url, topics="policy_data,policy_data/users")
    server.await_subscriber("policy_data/users")
    began = time.monotonic()
    bare.write(kafka.bootstrap, fleet.channel, (GUIDE % f"{fleet.opa.url}/source/bob").encode())
    example.wait_for(
        "the guide's example", lambda: "/users/bob/location" in fleet.opa.data, ARRIVES_S
    )
    assert time.monotonic() - began < 10.0
    assert fleet.opa.data["/users/bob/location"] == {"from_source": "/source/bob"}
    minimal = {
        "notifier_id": "made-up",
        "topics": ["policy_data/users"],
        "data": {"entries": [{"url": "", "data": {"n": 1}, "dst_path": "/minimal"}]},
    }
    bad = [b"\xff\xfe", None, b"{", b"[]", b'{"topics": ["policy_data"]}']
    bare.write(kafka.bootstrap, fleet.channel, *bad, json.dumps(minimal).encode())
    example.wait_for(
        "the minimal form", lambda: fleet.opa.data.get("/minimal") == {"n": 1}, ARRIVES_S
    )
    told = [line for line in server.process.text.splitlines() if "Skipped an undecodable" in line]
    assert len(told) == 5
    assert server.process.process.poll() is None


def test_the_example_runs(kafka: Kafka, example: Any) -> None:
    """The script that stands for the compose file ends well."""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, example.__file__, "--brokers", kafka.bootstrap],
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "/users/bob/location is in OPA after" in done.stdout
    assert "Broadcasting incoming event" in done.stdout


def test_history_is_not_replayed_and_sigterm_leaves_cleanly(
    example: Any, fleet: Any, kafka: Kafka
) -> None:
    """A server that starts ignores what lies on the topic; SIGTERM ends it within seconds."""
    bare.make_topic(kafka.bootstrap, fleet.channel)
    old = {"entries": [{"url": "", "data": {"n": 0}, "dst_path": "/old"}]}
    event = {"notifier_id": "x", "topics": ["policy_data"], "data": old}
    bare.write(kafka.bootstrap, fleet.channel, json.dumps(event).encode())
    first, second = started(fleet, example.OURS, example.OURS)
    assert second.post("/new", {"n": 1})[0] == 200
    example.wait_for("the new one", lambda: "/new" in fleet.opa.data, ARRIVES_S)
    assert "/old" not in fleet.opa.data
    for server in (first, second):
        code = server.process.stop()
        assert code in (0, -15)
        assert "Traceback" not in server.process.text.split("triggered shutdown event")[-1]
