# SPDX-License-Identifier: Apache-2.0
"""The text of the files that configure one node: server.properties and log4j2.properties.

Decides only: no file, process or port is touched here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kafka_notify.errors import ConfigurationError

HOST = "127.0.0.1"

_NAME = re.compile(r"[A-Za-z0-9._-]+")
# Without what JAAS, the SCRAM argument of the format tool or a properties file would have to
# quote, each in its own way.
_CREDENTIAL = re.compile(r"[A-Za-z0-9_.~!@#$%^&*()+:;<>?/|-]+")
_USER = re.compile(r"[A-Za-z0-9_]+")

_SHARED_TOPICS = {
    "offsets.topic.replication.factor": "replicas",
    "transaction.state.log.replication.factor": "replicas",
    "transaction.state.log.min.isr": "in_sync",
    "share.coordinator.state.topic.replication.factor": "replicas",
    "share.coordinator.state.topic.min.isr": "in_sync",
    "default.replication.factor": "replicas",
    "min.insync.replicas": "in_sync",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAddress:
    """Where one node listens: for clients, for its fellow controllers, for SASL clients."""

    port: int
    controller_port: int
    sasl_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """What is common to all nodes; a node's id is its place in ``addresses``."""

    addresses: tuple[NodeAddress, ...]
    partitions: int = 4
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)


def check_properties(properties: Mapping[str, str]) -> None:
    """Refuse a property that is none, or that is decided here.

    Raises:
        ConfigurationError: naming the property; never showing a value.
    """
    for name, value in properties.items():
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"broker property {name!r}: not the name of a property")
        if not isinstance(value, str):
            raise ConfigurationError(f"broker property {name}: give its value as a string")
        if name in _OWN or name.startswith("listener"):
            raise ConfigurationError(
                f"broker property {name}: it follows from the other arguments of the cluster"
            )


def check_users(users: Mapping[str, str]) -> None:
    """Refuse names and passwords that Kafka's formats cannot hold as they are.

    Raises:
        ConfigurationError: naming the user, never showing a password.
    """
    for user, password in users.items():
        if not _USER.fullmatch(user):
            raise ConfigurationError(f"SASL user {user!r}: use letters, digits and _")
        if not _CREDENTIAL.fullmatch(password):
            raise ConfigurationError(
                f"the password of SASL user {user!r} is empty or has a space, quote, comma, "
                f"backslash, bracket, equals sign or a character outside ASCII: take another one"
            )


def server_properties(plan: ClusterPlan, node_id: int, *, data: Path) -> str:
    """Return the text of the node's server.properties, which holds the passwords.

    ``data`` is to be the node's log directory.
    """
    lines = {
        **_defaults(plan),
        **plan.properties,
        **_network(plan, node_id),
        "node.id": str(node_id),
        "process.roles": "broker,controller",
        "log.dirs": str(data),
    }
    return "".join(f"{name}={_escaped(value)}\n" for name, value in sorted(lines.items()))


def scram_arguments(users: Mapping[str, str]) -> Sequence[str]:
    """Return the arguments by which the format tool stores the users. They hold the passwords."""
    return [
        argument
        for user, password in users.items()
        for argument in ("--add-scram", f"SCRAM-SHA-256=[name={user},password={password}]")
    ]


def log_properties(log: Path) -> str:
    """Return the text of a log4j2.properties that writes to ``log``, at most 40 MB in all."""
    return _LOG.format(log=_escaped(str(log)))


def _defaults(plan: ClusterPlan) -> dict[str, str]:
    nodes = len(plan.addresses)
    counts = {"replicas": str(min(3, nodes)), "in_sync": "2" if nodes > 2 else "1"}
    return {
        **{name: counts[kind] for name, kind in _SHARED_TOPICS.items()},
        "num.partitions": str(plan.partitions),
        "unclean.leader.election.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        # Kafka makes 50 of each on first use, which a group's first member waits for.
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.num.partitions": "8",
        # 128 MB of the heap otherwise, for compacting far larger logs than ours.
        "log.cleaner.dedupe.buffer.size": str(16 << 20),
    }


def _network(plan: ClusterPlan, node_id: int) -> dict[str, str]:
    own = plan.addresses[node_id]
    clients = [f"PLAINTEXT://{HOST}:{own.port}"]
    if own.sasl_port is not None:
        clients.append(f"SASL://{HOST}:{own.sasl_port}")
    return {
        "listeners": ",".join([*clients, f"CONTROLLER://{HOST}:{own.controller_port}"]),
        "advertised.listeners": ",".join(clients),
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT"
        ),
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        # Fixed voters: a node may be away, come back, and be the first to do so.
        "controller.quorum.voters": ",".join(
            f"{number}@{HOST}:{address.controller_port}"
            for number, address in enumerate(plan.addresses)
        ),
        **(_sasl(plan.users) if own.sasl_port is not None else {}),
    }


def _sasl(users: Mapping[str, str]) -> dict[str, str]:
    security = "org.apache.kafka.common.security"
    accounts = "".join(f' user_{user}="{password}"' for user, password in users.items())
    return {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
        "listener.name.sasl.plain.sasl.jaas.config": (
            f"{security}.plain.PlainLoginModule required{accounts};"
        ),
        "listener.name.sasl.scram-sha-256.sasl.jaas.config": (
            f"{security}.scram.ScramLoginModule required;"
        ),
    }


_OWN = frozenset(
    {
        "advertised.listeners",
        "controller.listener.names",
        "controller.quorum.bootstrap.servers",
        "controller.quorum.voters",
        "inter.broker.listener.name",
        "log.dir",
        "log.dirs",
        "metadata.log.dir",
        "node.id",
        "process.roles",
        "sasl.enabled.mechanisms",
    }
)


def _escaped(value: str) -> str:
    r"""Escape for a Java properties file, which is read as Latin-1 with \uXXXX for the rest."""
    units = value.encode("utf-16-be")
    codes = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(
        chr(code) if 0x20 < code < 0x7F and code != ord("\\") else f"\\u{code:04x}"
        for code in codes
    )


_LOG = """\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d] %p %m (%c)%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
"""
