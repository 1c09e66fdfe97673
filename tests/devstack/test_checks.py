# SPDX-License-Identifier: Apache-2.0
"""What local.conf cannot say: stack.sh stops before anything is installed, and says what to do."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.devstack.conftest import PLUGIN, Bash

CHECK = "check_messaging; if is_service_enabled kafka; then check_kafka; fi"
QUORUM = "1@198.51.100.1:9093,2@198.51.100.2:9093,3@198.51.100.3:9093"
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"


@pytest.mark.parametrize(
    ("local_conf", "what", "remedy"),
    [
        ({"RPC_SERVICE": "kafka"}, "Kafka carries notifications, not RPC", "RPC_SERVICE=rabbit"),
        ({"RPC_SERVICE": "amqp"}, "has dropped its AMQP 1.0 driver", "RPC_SERVICE=rabbit"),
        ({"RPC_SERVICE": "zmq"}, "RPC_SERVICE=zmq is not known", "set it to rabbit"),
        ({"NOTIFY_SERVICE": "amqp"}, "NOTIFY_SERVICE=amqp is not known", "kafka or rabbit"),
        ({"NOTIFY_DRIVER": "confluent"}, "NOTIFY_DRIVER=confluent is not known", "kafka-notify"),
        ({"ENABLED_SERVICES": "key"}, "The service rabbit is disabled", "set RPC_HOST"),
        (
            {"ENABLED_SERVICES": "key", "RPC_HOST": "198.51.100.9", "RABBIT_PASSWORD": ""},
            "there is no password for it",
            "RPC_PASSWORD in local.conf",
        ),
        (
            {"ENABLED_SERVICES": "key", "RPC_HOST": "198.51.100.9", "NOTIFY_SERVICE": "rabbit",
             "NOTIFY_HOST": "127.0.0.1"},
            "NOTIFY_SERVICE=rabbit on this host",
            "set NOTIFY_HOST",
        ),
        ({"DISABLED_SERVICES": "kafka"}, "The service kafka is disabled", "set NOTIFY_HOST"),
        ({"NOTIFY_VHOST": "a.b"}, "NOTIFY_VHOST=a.b has a dot", "without one"),
        ({"NOTIFY_SECURITY_PROTOCOL": "TLS"}, "TLS is not known", "SASL_SSL"),
        ({"NOTIFY_SECURITY_PROTOCOL": "SASL_SSL"}, "needs a login", "set NOTIFY_USERNAME"),
        (
            {"NOTIFY_SECURITY_PROTOCOL": "SSL"},
            "has no certificate",
            "disable_service kafka",
        ),
        (
            {"NOTIFY_USERNAME": "nova", "NOTIFY_PASSWORD": "pässword"},
            "has a character outside ASCII",
            "choose another",
        ),
        (
            {"NOTIFY_USERNAME": "nova", "NOTIFY_PASSWORD": "pw",
             "NOTIFY_OPTIONS": "linger=0&sasl_mechanism=SCRAM-SHA-512"},
            "sasl_mechanism=PLAIN alone",
            "Leave it out",
        ),
        ({"KAFKA_VERSION": "2.0.0"}, "KAFKA_VERSION=2.0.0", "set 4.0.0 or later"),
        ({"KAFKA_VERSION": "4.9.9"}, "There is no checksum", "set KAFKA_SHA512"),
        ({"KAFKA_SHA512": "abc"}, "There is no checksum", "set KAFKA_SHA512"),
        ({"KAFKA_DIST_DIR": "/nowhere"}, "holds no kafka_2.*.jar", "absolute path"),
        ({"KAFKA_HEAP": "lots"}, "KAFKA_HEAP=lots is no size", "512m"),
        ({"KAFKA_CLUSTER_ID": "mine"}, "KAFKA_CLUSTER_ID=mine is none", "A new one: "),
        ({"KAFKA_QUORUM_VOTERS": QUORUM}, "needs KAFKA_CLUSTER_ID", "A new one: "),
        (
            {"KAFKA_QUORUM_VOTERS": "k1:9093", "KAFKA_CLUSTER_ID": CLUSTER_ID},
            "k1:9093 is no voter",
            "id@host:port",
        ),
        (
            {"KAFKA_QUORUM_VOTERS": "1@127.0.0.1:9093,2@127.0.0.1:9095",
             "KAFKA_CLUSTER_ID": CLUSTER_ID},
            "does not tell which of its voters",
            "set KAFKA_NODE_ID",
        ),
        (
            {"KAFKA_QUORUM_VOTERS": QUORUM, "KAFKA_CLUSTER_ID": CLUSTER_ID, "KAFKA_NODE_ID": "4"},
            "KAFKA_NODE_ID=4 is not among the ids",
            "the id of this machine",
        ),
        ({"KAFKA_CONTROLLER_PORT": "9092"}, "Port 9092 is to be that of the broker", "another"),
    ],
)  # fmt: skip
def test_refused(bash: Bash, local_conf: dict[str, str], what: str, remedy: str) -> None:
    """The message names what is wrong and what to do."""
    done = bash(CHECK, **local_conf)
    assert done.returncode != 0
    message = done.stderr.splitlines()[-1]
    assert message.startswith("[ERROR] ")
    assert what in message
    assert remedy in message


@pytest.mark.parametrize(
    "local_conf",
    [
        {},
        {"NOTIFY_SERVICE": "rabbit"},
        {"ENABLED_SERVICES": "key", "RPC_HOST": "198.51.100.9", "NOTIFY_HOST": "198.51.100.8"},
        {"DISABLED_SERVICES": "kafka", "NOTIFY_HOST": "198.51.100.8"},
        # A broker of somebody's own on this machine.
        {"DISABLED_SERVICES": "kafka", "NOTIFY_HOST": "127.0.0.1"},
        # That of another host may have what ours has not.
        {"DISABLED_SERVICES": "kafka", "NOTIFY_HOST": "198.51.100.8", "NOTIFY_USERNAME": "nova",
         "NOTIFY_PASSWORD": "pässword", "NOTIFY_SECURITY_PROTOCOL": "SASL_SSL",
         "NOTIFY_OPTIONS": "sasl_mechanism=SCRAM-SHA-512"},
        {"KAFKA_QUORUM_VOTERS": QUORUM, "KAFKA_CLUSTER_ID": CLUSTER_ID},
        {"KAFKA_VERSION": "4.9.9", "KAFKA_SHA512": "AB " * 64},
        {"NOTIFY_PORT": "9192", "KAFKA_CONTROLLER_PORT": "9193"},
    ],
)  # fmt: skip
def test_accepted(bash: Bash, free_ports: dict[str, str], local_conf: dict[str, str]) -> None:
    """Each of these makes a bus."""
    done = bash(CHECK, **{**free_ports, **local_conf})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("local_conf", "warning"),
    [
        ({"RPC_HOST": "198.51.100.9"}, "no service uses the RabbitMQ here"),
        ({"NOTIFY_HOST": "198.51.100.9"}, "does not name the broker here"),
        ({"SCALA_VERSION": "2.12"}, "SCALA_VERSION and SCALA_BASEURL mean nothing"),
        (
            {"NOTIFY_USERNAME": "nova", "NOTIFY_SECURITY_PROTOCOL": "PLAINTEXT"},
            "nobody checks NOTIFY_USERNAME",
        ),
    ],
)
def test_warned(
    bash: Bash, free_ports: dict[str, str], local_conf: dict[str, str], warning: str
) -> None:
    """What is useless and does no harm is told, and stack.sh goes on."""
    done = bash(CHECK, **{**free_ports, **local_conf})
    assert done.returncode == 0, done.stderr
    assert warning in done.stdout


@pytest.fixture
def free_ports() -> dict[str, str]:
    """Return settings that name ports which nobody has, whatever runs on the usual ones."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        return {
            "NOTIFY_PORT": str(one.getsockname()[1]),
            "KAFKA_CONTROLLER_PORT": str(two.getsockname()[1]),
        }


@pytest.fixture
def taken() -> Iterator[str]:
    """Yield a port that this process has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


@pytest.mark.parametrize("setting", ["NOTIFY_PORT", "KAFKA_CONTROLLER_PORT"])
def test_taken_port(bash: Bash, free_ports: dict[str, str], taken: str, setting: str) -> None:
    """A port that somebody has is told, with who has it and which setting names another."""
    done = bash(CHECK, **{**free_ports, setting: taken})
    assert done.returncode != 0
    assert f"[ERROR] Port {taken} is taken: LISTEN" in done.stderr
    assert f"set {setting} in local.conf to a port that is free" in done.stderr


def test_ports_of_the_broker_that_runs_already(bash: Bash, taken: str) -> None:
    """After stack.sh without unstack.sh the ports are our own broker's, and no reason to stop."""
    # systemctl that says of every unit that it is active.
    done = bash(CHECK, NOTIFY_PORT=taken, SYSTEMCTL="true")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "path", sorted((PLUGIN / "samples").glob("*.conf")), ids=lambda path: path.stem
)
def test_sample(bash: Bash, free_ports: dict[str, str], tmp_path: Path, path: Path) -> None:
    """Each sample makes a bus, and sets nothing that nobody reads."""
    localrc = path.read_text().partition("[[local|localrc]]\n")[2]
    (tmp_path / "localrc").write_text(localrc)
    settings = (PLUGIN / "settings").read_text()
    for name in re.findall(r"^(\w+)=", localrc, flags=re.MULTILINE):
        known = f"{name}=" in settings or name in ("SERVICE_IP_VERSION", "HOST_IPV6")
        assert known or re.fullmatch("(ADMIN|DATABASE|RABBIT|SERVICE)_PASSWORD", name)
    # The host that the sample for several nodes is for as well as for two others.
    done = bash(CHECK, LOCALRC=str(tmp_path / "localrc"), **free_ports, HOST_IP="192.0.2.12")
    assert (done.returncode, done.stderr) == (0, "")
