# SPDX-License-Identifier: Apache-2.0
"""OPAL's server is taken only as it is known; else there is a clear error at the start."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from kafka_notify.errors import ConfigurationError, MissingExtra
from kafka_notify.opal import KafkaBroadcast, server

UNTESTED = "0.99.0"


def versions(monkeypatch: pytest.MonkeyPatch, found: str | None) -> None:
    def version(_name: str) -> str:
        if found is None:
            raise metadata.PackageNotFoundError
        return found

    monkeypatch.setattr(server.metadata, "version", version)


def test_unknown_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the versions tested, and how to insist."""
    versions(monkeypatch, UNTESTED)
    with pytest.raises(ConfigurationError, match=f"{UNTESTED}.*tested with 0.9.9"):
        server.check_version()
    monkeypatch.setenv(server.UNTESTED_VARIABLE, UNTESTED)
    server.check_version()


def test_a_missing_opal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    versions(monkeypatch, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'opal-server==0\.9\.9'"):
        server.check_version()


@pytest.mark.parametrize(
    ("broadcaster", "told"),
    [
        (None, "OPAL_BROADCAST_URI"),
        (SimpleNamespace(_broadcast_url="kafka://h", _channel="c"), "_broadcast_type"),
        (SimpleNamespace(_broadcast_type=object, _channel="c"), "_broadcast_url"),
        (
            SimpleNamespace(_broadcast_type=object, _broadcast_url="redis://h", _channel="c"),
            "opal_server.main:app",
        ),
        (
            SimpleNamespace(_broadcast_type=object, _broadcast_url="kafka://h/?x=1", _channel="c"),
            "'x' is unknown",
        ),
    ],
)
def test_servers_that_cannot_be_taken(broadcaster: object, told: str) -> None:
    """No broadcaster, another build of it, another backbone, a bad option."""
    found = SimpleNamespace(pubsub=SimpleNamespace(broadcaster=broadcaster))
    with pytest.raises(ConfigurationError, match=told):
        server.use_kafka(found)


def test_a_server_that_is_known() -> None:
    """Its broadcaster gets our type."""
    broadcaster = SimpleNamespace(
        _broadcast_type=object, _broadcast_url="kafka://host:1", _channel="c"
    )
    server.use_kafka(SimpleNamespace(pubsub=SimpleNamespace(broadcaster=broadcaster)))
    assert broadcaster._broadcast_type is KafkaBroadcast


def test_importing_costs_neither_opal_nor_a_framework() -> None:
    """The package is there without any of them; the error names the extra."""
    program = (
        "import sys; import kafka_notify.opal as o;"
        "assert not {'opal_server', 'starlette', 'pydantic', 'fastapi'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_missing_extra_is_named() -> None:
    """Without pydantic the schemas say what to install."""
    program = "import sys; sys.modules['pydantic'] = None; import kafka_notify.opal.schemas"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert "MissingExtra" in done.stderr
    assert "pip install 'kafka-notify[opal]'" in done.stderr
    assert issubclass(MissingExtra, ConfigurationError)


@pytest.mark.functional
@pytest.mark.opal
def test_the_app_says_what_is_wrong_at_the_start() -> None:
    """A server without a backbone, or with a bad option, does not start."""
    for uri, told in (
        ("", "OPAL_BROADCAST_URI=kafka://host:9092"),
        ("kafka://h/?lingr=1", "'lingr' is unknown"),
    ):
        env = {**os.environ, "DD_TRACE_ENABLED": "false", "OPAL_REPO_WATCHER_ENABLED": "false"}
        if uri:
            env["OPAL_BROADCAST_URI"] = uri
        done = subprocess.run(
            [sys.executable, "-c", "import kafka_notify.opal as o; o.app"],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            env=env,
        )
        assert done.returncode == 1
        assert told in done.stderr
