# SPDX-License-Identifier: Apache-2.0
"""The command broker: refusals without Kafka, and its life with one."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

import kafka_notify
from kafka_notify.broker.ports import free_port
from tests.cli.commands import Running, run


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("--nodes", "2"), "invalid choice"),
        (("--port", "0"), "0 is out of range, it must be 1 to 65535"),
        (("--port", "65535", "--nodes", "3"), "port 65536: give 1 to 65535"),
        (("--heap", "much"), "heap 'much': give a size such as 512m or 2g"),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[str, ...], cause: str) -> None:
    """With what would be right."""
    result = run("broker", *arguments)

    assert (result.code, result.out) == (2, "")
    assert cause in result.err


@pytest.mark.functional
class TestWithTheExtra:
    """What needs the [broker] extra."""

    def test_an_unwritable_cache_folder_is_named(self, tmp_path: Path) -> None:
        """With the system's reason and what to do."""
        blocked = tmp_path / "file"
        blocked.write_text("")

        result = run("broker", env={"KAFKA_NOTIFY_CACHE": str(blocked / "cache")})

        assert (result.code, result.out) == (2, "")
        assert f"cannot write to the folder {blocked / 'cache'}" in result.err
        assert "Traceback" not in result.err

    def test_an_old_version_is_refused(self, tmp_path: Path) -> None:
        """Before 4.0.0 Kafka needs ZooKeeper."""
        env = {"KAFKA_NOTIFY_CACHE": str(tmp_path), "KAFKA_NOTIFY_JARS": ""}

        result = run("broker", "--kafka-version", "3.9.0", env=env)

        assert (result.code, result.out) == (2, "")
        assert "Kafka version '3.9.0': give 4.0.0 or later" in result.err

    def test_a_port_in_use_is_named(self, tmp_path: Path) -> None:
        """Nothing is started then."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]

            result = run("broker", "--port", port, "--data-dir", tmp_path / "data")

        assert (result.code, result.out) == (2, "")
        assert f"port {port} of 127.0.0.1 is in use" in result.err

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_it_runs_until_a_signal_and_keeps_its_data(
        self, number: signal.Signals, tmp_path: Path
    ) -> None:
        """stdout gets the URL when Kafka answers; the signal ends Kafka, too, in good order."""
        port = free_port(besides=set())
        arguments = ("broker", "--port", port, "--data-dir", tmp_path / "data")

        with Running(*arguments) as broker:
            broker.wait_for_lines(1)
            url = f"kafka://127.0.0.1:{port}/"
            with kafka_notify.get_notification_transport(url=url) as transport:
                transport.check_connection()
            result = broker.interrupt(number)

        assert result.code == 128 + number
        assert result.out == f"{url}\n"
        assert f"is ready at 127.0.0.1:{port}" in result.err
        assert "Stopping Kafka" in result.err
        assert "Traceback" not in result.err
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
        assert (tmp_path / "data" / "node-0").is_dir()
