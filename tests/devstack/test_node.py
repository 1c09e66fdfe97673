# SPDX-License-Identifier: Apache-2.0
"""The node that the broker of this machine is, and the files that say so."""

from __future__ import annotations

import re
import socket

import pytest

from tests.devstack.conftest import Bash

QUORUM = "1@198.51.100.1:9093,2@198.51.100.2:9093,3@198.51.100.3:9093"


def properties(bash: Bash, what: str = "server", **local_conf: str) -> dict[str, str]:
    done = bash(f"resolve_kafka_node; kafka_{what}_properties", **local_conf)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_one_node(bash: Bash) -> None:
    """One node needs no other, and shows its controller to nobody else."""
    node = properties(bash)
    assert node["node.id"] == "1"
    assert node["controller.quorum.voters"] == "1@127.0.0.1:9093"
    assert node["listeners"] == "CLIENTS://198.51.100.1:9092,CONTROLLER://127.0.0.1:9093"
    assert node["advertised.listeners"] == "CLIENTS://198.51.100.1:9092"
    assert node["listener.security.protocol.map"] == "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT"
    assert node["log.dirs"] == "/opt/stack/data/kafka/log"
    assert {value for name, value in node.items() if "replication.factor" in name} == {"1"}
    assert {value for name, value in node.items() if "min.isr" in name} == {"1"}


def test_three_nodes(bash: Bash) -> None:
    """The voter on this host is found by its address; topics survive the loss of one node."""
    node = properties(
        bash,
        HOST_IP="198.51.100.2",
        NOTIFY_HOST="198.51.100.1,198.51.100.2:9094,198.51.100.3",
        KAFKA_QUORUM_VOTERS=QUORUM,
    )
    assert node["node.id"] == "2"
    assert node["controller.quorum.voters"] == QUORUM
    assert node["listeners"] == "CLIENTS://198.51.100.2:9094,CONTROLLER://198.51.100.2:9093"
    assert {value for name, value in node.items() if "replication.factor" in name} == {"3"}
    assert {value for name, value in node.items() if "min.isr" in name} == {"2"}
    assert node["min.insync.replicas"] == "2"
    # Kafka's own minute is too short for the stack.sh of the other hosts.
    assert int(node["initial.broker.registration.timeout.ms"]) >= 3_600_000


@pytest.mark.parametrize(
    ("local_conf", "listens", "advertises"),
    [
        ({"SERVICE_HOST": "[::1]"}, "[::1]:9092", "[::1]:9092"),
        ({"NOTIFY_HOST": "198.51.100.9,::1", "NOTIFY_PORT": "9"}, "[::1]:9", "[::1]:9"),
        # The address that others use is the router's.
        ({"SERVICE_HOST": "198.51.100.7"}, "0.0.0.0:9092", "198.51.100.7:9092"),
        ({"KAFKA_LISTEN_ADDRESS": "[::]"}, "[::]:9092", "198.51.100.1:9092"),
        ({"KAFKA_HOST": "127.0.0.1", "KAFKA_PORT": "9"}, "127.0.0.1:9", "127.0.0.1:9"),
        # A broker that services do not use.
        ({"NOTIFY_HOST": "198.51.100.9:1234"}, "198.51.100.1:9092", "198.51.100.1:9092"),
        (
            {"NOTIFY_SERVICE": "rabbit", "ENABLED_SERVICES": "rabbit,kafka"},
            "198.51.100.1:9092",
            "198.51.100.1:9092",
        ),
    ],
)
def test_listeners(bash: Bash, local_conf: dict[str, str], listens: str, advertises: str) -> None:
    """The broker listens where clients are told to find it, unless that is not on this machine."""
    node = properties(bash, **local_conf)
    assert node["listeners"].startswith(f"CLIENTS://{listens},")
    assert node["advertised.listeners"] == f"CLIENTS://{advertises}"


def unquoted(value: str) -> dict[str, str]:
    """Read a value of a properties file as Java does, then the login module's options in it."""
    jaas = re.sub(r"\\(.)", r"\1", value)
    token = r'"(?:[^"\\]|\\.)*"|[^\s"=;]+'
    return {
        re.sub(r"\\(.)", r"\1", name.strip('"')): re.sub(r"\\(.)", r"\1", text[1:-1])
        for name, text in re.findall(rf"({token})=({token})", jaas)
    }


def test_the_broker_checks_the_login(bash: Bash) -> None:
    """The login of the notifications is that of the broker, whatever characters it has."""
    login = {"NOTIFY_USERNAME": 'no"va', "NOTIFY_PASSWORD": "p\"a\\s's $x;=#w"}
    node = properties(bash, **login)
    assert node["listener.security.protocol.map"].startswith("CLIENTS:SASL_PLAINTEXT,")
    jaas = unquoted(node["listener.name.clients.plain.sasl.jaas.config"])
    assert jaas == {
        "username": login["NOTIFY_USERNAME"],
        "password": login["NOTIFY_PASSWORD"],
        f"user_{login['NOTIFY_USERNAME']}": login["NOTIFY_PASSWORD"],
    }
    client = properties(bash, "client", **login)
    assert client["security.protocol"] == "SASL_PLAINTEXT"
    assert unquoted(client["sasl.jaas.config"]) == {
        "username": login["NOTIFY_USERNAME"],
        "password": login["NOTIFY_PASSWORD"],
    }


def test_new_cluster_ids(bash: Bash) -> None:
    """Each is new, as long as Kafka wants it, and no option for Kafka's tools."""
    done = bash("for i in {1..40}; do _new_cluster_id; done")
    ids = done.stdout.split()
    assert len(set(ids)) == 40
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", one) for one in ids)


def test_voters_that_are_missing(bash: Bash) -> None:
    """A node waits for as many others as make a majority with it, and never for itself."""

    def missing(*others: str) -> str:
        voters = ["0@127.0.0.1:9", *(f"{id_}@{host}" for id_, host in enumerate(others, 1))]
        done = bash(
            "resolve_kafka_node; _missing_voters",
            KAFKA_QUORUM_VOTERS=",".join(voters) if others else "",
            KAFKA_NODE_ID="0",
            KAFKA_CONTROLLER_PORT="9",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    absent = ("127.0.0.1:7", "127.0.0.1:13")
    with socket.create_server(("127.0.0.1", 0)) as server:
        present = f"127.0.0.1:{server.getsockname()[1]}"
        assert missing() == ""
        assert missing(present, absent[0]) == ""
        assert missing(*absent) == f"1@{absent[0]}, 2@{absent[1]}"
