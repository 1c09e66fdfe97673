# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from kafka_notify.broker.config import (
    ClusterPlan,
    NodeAddress,
    check_properties,
    check_users,
    log_properties,
    scram_arguments,
    server_properties,
)
from kafka_notify.errors import ConfigurationError

ONE = (NodeAddress(port=9092, controller_port=9093),)
THREE = tuple(NodeAddress(port=9000 + n, controller_port=9100 + n) for n in range(3))


def parsed(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def test_a_single_node_replicates_nothing() -> None:
    """With one node, Kafka's own topics must ask for one replica or they are never made."""
    lines = parsed(server_properties(ClusterPlan(addresses=ONE), 0, data=Path("/d")))
    factors = {name: value for name, value in lines.items() if "replication.factor" in name}
    assert factors == {
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
    }
    assert lines["min.insync.replicas"] == "1"
    assert lines["log.dirs"] == "/d"


def test_three_nodes_know_each_other_and_survive_one() -> None:
    """All nodes have the same voters; a record needs two replicas to be confirmed."""
    plan = ClusterPlan(addresses=THREE, partitions=7)
    nodes = [parsed(server_properties(plan, n, data=Path("/d"))) for n in range(3)]
    assert {node["controller.quorum.voters"] for node in nodes} == {
        "0@127.0.0.1:9100,1@127.0.0.1:9101,2@127.0.0.1:9102"
    }
    assert [node["node.id"] for node in nodes] == ["0", "1", "2"]
    assert [node["advertised.listeners"] for node in nodes] == [
        f"PLAINTEXT://127.0.0.1:{9000 + n}" for n in range(3)
    ]
    for name in (
        "default.replication.factor",
        "offsets.topic.replication.factor",
        "share.coordinator.state.topic.replication.factor",
        "transaction.state.log.replication.factor",
    ):
        assert nodes[2][name] == "3"
    assert nodes[2]["min.insync.replicas"] == "2"
    assert nodes[2]["transaction.state.log.min.isr"] == "2"
    assert nodes[2]["unclean.leader.election.enable"] == "false"
    assert nodes[2]["num.partitions"] == "7"


def test_the_user_s_properties_win_over_ours() -> None:
    """What a test wants to vary, it can; what holds the cluster together, it cannot."""
    plan = ClusterPlan(
        addresses=ONE, properties={"num.partitions": "9", "auto.create.topics.enable": "false"}
    )
    lines = parsed(server_properties(plan, 0, data=Path("/d")))
    assert lines["num.partitions"] == "9"
    assert lines["auto.create.topics.enable"] == "false"


@pytest.mark.parametrize(
    "properties",
    [
        {"node.id": "7"},
        {"listeners": "PLAINTEXT://0.0.0.0:1"},
        {"listener.name.sasl.plain.sasl.jaas.config": "x"},
        {"log.dirs": "/elsewhere"},
        {"not a property": "x"},
        {"two\nlines": "x"},
        {"num.partitions": 4},
    ],
)
def test_a_property_that_cannot_be_set_is_named(properties: dict[str, str]) -> None:
    """Refused before anything starts, by the name that was given."""
    name = next(iter(properties))
    with pytest.raises(ConfigurationError) as caught:
        check_properties(properties)
    assert name.split("\n", maxsplit=1)[0] in str(caught.value)


def test_values_are_written_as_java_reads_them() -> None:
    """Backslash, line end and letters beyond ASCII, also beyond 16 bits, are escaped."""
    plan = ClusterPlan(addresses=ONE, properties={"x": "a\\b\nc=ü\U0001f600 d"})
    text = server_properties(plan, 0, data=Path("/d"))
    assert "x=a\\u005cb\\u000ac=\\u00fc\\ud83d\\ude00\\u0020d\n" in text
    assert "fileName = /logs/\\u00e4.log\n" in log_properties(Path("/logs/ä.log"))


def test_users_can_log_in_with_both_mechanisms() -> None:
    """PLAIN users stand in the listener's configuration, SCRAM users go to the format tool."""
    address = NodeAddress(port=1, controller_port=2, sasl_port=3)
    plan = ClusterPlan(addresses=(address,), users={"alice": "pw-a", "bob": "pw-b"})
    lines = parsed(server_properties(plan, 0, data=Path("/d")))
    assert lines["advertised.listeners"] == "PLAINTEXT://127.0.0.1:1,SASL://127.0.0.1:3"
    jaas = lines["listener.name.sasl.plain.sasl.jaas.config"].replace("\\u0020", " ")
    assert jaas.endswith('required user_alice="pw-a" user_bob="pw-b";')
    assert scram_arguments(plan.users)[:2] == [
        "--add-scram",
        "SCRAM-SHA-256=[name=alice,password=pw-a]",
    ]


def test_without_users_there_is_no_sasl() -> None:
    """A cluster without users has no listener that nobody could use."""
    lines = parsed(server_properties(ClusterPlan(addresses=ONE), 0, data=Path("/d")))
    assert "SASL:" not in lines["listeners"]
    assert not [name for name in lines if name.startswith("sasl.")]


@pytest.mark.parametrize("password", ["", "two words", 'quo"te', "a,b", "a]b", "a\\b", "geheim-ü"])
def test_a_password_that_kafka_cannot_take_is_refused_unseen(password: str) -> None:
    """The message names the user and the rule, and does not show the password."""
    with pytest.raises(ConfigurationError, match="'alice'") as caught:
        check_users({"alice": password})
    assert not password or password not in str(caught.value)


def test_a_user_that_kafka_cannot_take_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'al ice'"):
        check_users({"al ice": "secret"})


def test_a_plan_does_not_show_passwords() -> None:
    """Neither those of users nor those in properties appear in a repr."""
    plan = ClusterPlan(addresses=ONE, users={"a": "hush"}, properties={"ssl.key.password": "hush"})
    assert "hush" not in repr(plan)
