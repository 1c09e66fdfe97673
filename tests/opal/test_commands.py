# SPDX-License-Identifier: Apache-2.0
"""publish-data-update, and the relay's command, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import run
from tests.conftest import Kafka
from tests.opal import bare
from tests.opal.websockets import Subscriber

pytestmark = pytest.mark.functional

ARRIVES_S = 60.0
PUBLISH = ("publish-data-update",)


def test_through_a_server(relay: Any) -> None:
    """The guide's command reaches the clients; so do all the options of OPAL's own."""
    server = relay()
    with Subscriber(server.ws, "policy_data") as subscriber:
        where = (*PUBLISH, "--server-url", server.url, "-t", "policy_data")
        done = run(*where, "--src-url", "http://source/bob", "--dst-path", "/users/bob/location")
        assert done.code == 0, done.err
        patch = [{"op": "add", "path": "/a", "value": 1}]
        more = ("--save-method", "patch", "--reason", "moved", "--id", "u1", "--src-config", "{}")
        callbacks = ("--callback", "http://a/", "--callback", '["http://b/", {"method": "post"}]')
        done = run(*where, "--data", json.dumps(patch), *more, *callbacks)
        assert done.code == 0, done.err
        first, second = subscriber.wait_for(2, ARRIVES_S)
    assert first["entries"][0]["url"] == "http://source/bob"
    assert first["entries"][0]["dst_path"] == "/users/bob/location"
    assert (second["id"], second["reason"]) == ("u1", "moved")
    assert second["entries"][0]["save_method"] == "PATCH"
    assert second["entries"][0]["data"] == patch
    assert second["callback"]["callbacks"] == ["http://a/", ["http://b/", {"method": "post"}]]


def test_to_kafka_directly(kafka: Kafka, unique: str, tmp_path: Path) -> None:
    """One event for each topic and those above it, as an OPAL server writes them."""
    path = tmp_path / "data.json"
    path.write_text('{"city": "Berlin"}')
    done = run(
        *PUBLISH, "--url", kafka.url(), "--channel", unique, "-t", "policy_data/users/bob",
        "--data-file", path, "--dst-path", "/users/bob/location",
    )  # fmt: skip
    assert done.code == 0, done.err
    found = bare.read(kafka.bootstrap, unique)
    assert [event["topics"] for event in found] == [
        ["policy_data"],
        ["policy_data/users"],
        ["policy_data/users/bob"],
    ]
    for event in found:
        [entry] = event["data"]["entries"]
        assert entry["data"] == {"city": "Berlin"}
        assert entry["topics"] == [one["topics"][0] for one in found]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "nothing to publish"),
        (("--data", "{"), "--data is not JSON"),
        (("--data-file", "/nowhere.json"), "--data-file /nowhere.json: No such file"),
        (("-e", "{}"), "--entries"),
        (("-e", '[{"urll": ""}]'), "entries.0.url"),
        (("--data", "{}", "--save-method", "PATCH"), "JSON patch"),
        (("--src-url", "x", "--server-url", "ftp://x"), "neither http:// nor https://"),
        (("--src-url", "x", "--url", "kafka://h/?x=1"), "'x' is unknown"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], told: str) -> None:
    """Each is named, with exit code 2."""
    done = run(*PUBLISH, *arguments)
    assert done.code == 2
    assert told in done.err
    assert "Traceback" not in done.err


def test_nobody_there(relay: Any) -> None:
    """A server that is not there, or refuses, and a Kafka that is away: exit code 1."""
    for arguments, told in (
        (("--server-url", "http://127.0.0.1:1"), "did not take the update"),
        (("--url", "kafka://127.0.0.1:1", "--timeout", "2"), "not confirmed"),
        (("--server-url", relay().url, "--server-route", "/none"), "answered 404"),
    ):
        done = run(*PUBLISH, "--src-url", "x", *arguments)
        assert done.code == 1, done.err
        assert told in done.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "where is Kafka"),
        (("--url", "kafka://h/?lingr=1"), "'lingr' is unknown"),
        (("--url", "kafka://h/v"), "virtual host"),
        (("--url", "kafka://h", "--public-key", "nonsense"), "public key"),
        (("--url", "kafka://h", "--data-config", "{}"), "--data-config"),
        (
            ("--url", "kafka://h", "--data-config", '{"config": {"entries": [{}]}}'),
            "entries.0.url",
        ),
        (("--url", "kafka://h", "--jwt-algorithm", "HS256", "--public-key", "x"), "HS256"),
    ],
)
def test_relays_that_cannot_work(arguments: tuple[str, ...], told: str) -> None:
    """They say so and do not start."""
    done = run("relay", *arguments)
    assert done.code == 2
    assert told in done.err
    assert "Traceback" not in done.err
