# SPDX-License-Identifier: Apache-2.0
"""What probes are told about the command listen."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from kafka_notify.cli.health import Health
from kafka_notify.errors import ConfigurationError
from tests.cli.commands import PROGRAM, TIMEOUT_S, Running
from tests.waiting import eventually


def ask(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    """Return the answer to a probe; 0 if nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


@pytest.fixture
def port() -> int:
    """Return a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_alive_and_ready() -> None:
    """Alive from the start, ready when told so, neither while there is a problem."""
    problems: list[str] = []
    with Health(0, lambda: problems) as health:
        port = health.port
        assert ask(port, "/live") == (200, "ok\n")
        assert ask(port, "/ready") == (503, "not listening yet\n")
        health.ready()
        assert ask(port, "/ready") == (200, "ok\n")
        problems.append("stuck")
        assert ask(port, "/live") == (503, "stuck\n")
        assert ask(port, "/ready") == (503, "stuck\n")
        assert ask(port, "/metrics")[0] == 404
    assert ask(port, "/live")[0] == 0


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_both_kinds_of_addresses() -> None:
    """A pod has the address that its cluster gives it."""
    with Health(0, list) as health:
        assert ask(health.port, "/live", "[::1]") == (200, "ok\n")


def test_a_client_that_says_nothing_holds_up_nobody_for_long() -> None:
    """Whoever connects and is silent is sent away, and the next one is answered."""
    with (
        Health(0, list) as health,
        socket.create_connection(("127.0.0.1", health.port)) as silent,
        socket.create_connection(("127.0.0.1", health.port)) as broken,
    ):
        broken.sendall(b"\x00\xff\r\n\r\n")
        assert ask(health.port, "/live") == (200, "ok\n")
        assert silent.recv(1) == b""


def test_a_port_that_is_taken() -> None:
    """It is told before anything else is done."""
    with (
        Health(0, list) as health,
        pytest.raises(ConfigurationError, match=f"port {health.port} cannot .* --health-port"),
    ):
        Health(health.port, list)


def test_ready_when_listening(
    either_url: str, unique: str, port: int, send: Callable[..., None]
) -> None:
    """A probe gets 200 when nothing that is sent can be missed, and nothing after the end."""
    arguments = ("--url", either_url, "--topic", unique, "--count", 1, "--health-port", port)
    with Running("listen", *arguments) as listen:
        listen.wait_for_error_line("Listening to")
        assert ask(port, "/ready") == (200, "ok\n")
        assert ask(port, "/live") == (200, "ok\n")
        send(1)
        assert listen.end().code == 0
    assert ask(port, "/live")[0] == 0


def test_alive_while_kafka_is_away(port: int) -> None:
    """Waiting for Kafka is not what a restart would mend."""
    url = f"kafka://127.0.0.1:9/?connect_timeout={TIMEOUT_S}"
    with Running("listen", "--url", url, "--health-port", port) as listen:
        eventually(lambda: ask(port, "/live") == (200, "ok\n"), TIMEOUT_S, "an answer")
        assert ask(port, "/ready") == (503, "not listening yet\n")
        listen.interrupt(signal.SIGTERM)


def test_sigterm_while_kafka_is_waited_for(port: int) -> None:
    """It ends the command at once, though the client is asked for as long as it may take."""
    url = f"kafka://127.0.0.1:9/?connect_timeout={2 * TIMEOUT_S}"
    with Running("listen", "--url", url, "--health-port", port, "-v") as listen:
        eventually(lambda: ask(port, "/live") == (200, "ok\n"), TIMEOUT_S, "an answer")
        threading.Event().wait(1)  # by then it asks
        assert listen.interrupt(signal.SIGTERM).code == 128 + signal.SIGTERM


def test_not_alive_while_the_output_is_stuck(
    either_url: str, unique: str, port: int, send: Callable[..., None]
) -> None:
    """What reads stdout has stopped: a probe tells so, until it goes on."""
    url = f"{either_url}?stuck_after=0.5"
    command = (*PROGRAM, "listen", "--url", url, "--topic", unique, "--health-port", str(port))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as listen:
        assert listen.stdout is not None
        eventually(lambda: ask(port, "/ready")[0] == 200, TIMEOUT_S, "the listener")
        send("x" * 500_000)
        eventually(lambda: ask(port, "/live")[0] == 503, TIMEOUT_S, "the problem")
        assert "endpoint" in ask(port, "/live")[1]
        assert len(listen.stdout.readline()) > 500_000
        eventually(lambda: ask(port, "/live")[0] == 200, TIMEOUT_S, "the end of the problem")
        listen.terminate()
        listen.communicate(timeout=TIMEOUT_S)
