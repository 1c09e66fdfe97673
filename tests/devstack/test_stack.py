# SPDX-License-Identifier: Apache-2.0
"""All phases of the plug-in under the real DevStack (tox -e devstack)."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.devstack.configurations import (
    CONFIGURATIONS,
    OWN_RABBIT,
    Hosts,
    Parsed,
    urls_read_by_oslo_messaging,
)
from tests.devstack.stage import SERVICES, Stage, missing
from tests.waiting import eventually

MISSING = missing(os.environ.get("DEVSTACK", ""))
pytestmark = [
    pytest.mark.devstack,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(MISSING), reason=MISSING or "all is there"),
]
EXCHANGE = Path(__file__).parent / "workers/exchange.py"

NewStage = Callable[..., Stage]
Ports = Callable[[int], list[str]]


@pytest.fixture(scope="session")
def jars() -> Path:
    """Return the folder of a real Kafka's jars."""
    from kafka_notify.broker.cache import cache_folder
    from kafka_notify.broker.jars import find_jars

    return find_jars(cache=cache_folder(), on_progress=print).folder


@pytest.fixture
def stages(jars: Path) -> Iterator[NewStage]:
    """Return a function that opens a stage, by default with the plug-in named kafka-notify."""
    with ExitStack() as stack:

        def new(plugin: str = "kafka-notify") -> Stage:
            folder = Path(tempfile.mkdtemp(prefix="kafka-notify-stage-"))
            stage = Stage(folder, Path(os.environ["DEVSTACK"]), jars, plugin)
            stack.callback(stage.close)
            stage.open()
            return stage

        yield new


@pytest.fixture
def ports() -> Ports:
    """Return a function that finds free ports."""

    def find(count: int) -> list[str]:
        with ExitStack() as stack:
            servers = [
                stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
            ]
            return [str(server.getsockname()[1]) for server in servers]

    return find


def assert_urls(stage: Stage, *, rpc: Hosts = OWN_RABBIT, notifications: Parsed) -> None:
    """Fail if a service's file has not both URLs as oslo.messaging reads them."""
    found = stage.urls()
    assert sorted(found) == sorted(SERVICES)
    for service, urls in found.items():
        cell = "nova_cell1" if service in ("nova-cpu", "nova_cell1") else ""
        read = [urls_read_by_oslo_messaging(url) for url in urls]
        assert read == [("rabbit", rpc, cell, {}), notifications], service


def exchange(stage: Stage, topic: str, *, losses: bool = False) -> list[str]:
    """Send by each service's file and receive; return who has sent what arrived."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            str(EXCHANGE),
            topic,
            *map(str, stage.conf_files.values()),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert losses or "lost " not in done.stdout
    return arrived(done.stdout)


def arrived(output: str) -> list[str]:
    """Return the names in what exchange.py has printed."""
    return sorted(line.split()[1] for line in output.splitlines() if line.startswith("got "))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configuration(stages: NewStage, ports: Ports, unique: str, name: str) -> None:
    """All phases end with 0; each service's file has both URLs, and what it sends arrives."""
    case = CONFIGURATIONS[name]
    port, controller_port = ports(2)
    stage = stages()
    stage.local_conf(
        KAFKA_DIST_DIR=f"{stage.folder}/jars",
        KAFKA_CONTROLLER_PORT=controller_port,
        **({"NOTIFY_PORT": port} if case.broker else {}),
        **case.local_conf,
    )
    stage.succeed("stack")
    assert_urls(stage, rpc=case.rpc, notifications=case.notifications(int(port)))
    assert (stage.pid() is not None) == case.broker
    if case.broker:
        # Upstream's driver loses what is sent while its listener starts, and gets it anew.
        losses = name == "upstream-driver"
        assert exchange(stage, unique, losses=losses) == sorted(SERVICES)
    stage.succeed("unstack")
    assert stage.pid() is None
    stage.succeed("clean")
    stage.succeed("clean")
    assert not (stage.dest / "data/kafka").exists()


def test_remote_broker(stages: NewStage, unique: str) -> None:
    """With disable_service kafka nothing of Kafka is on the machine, and notifications arrive."""
    from kafka_notify.broker import Cluster

    with Cluster(nodes=1) as cluster:
        stage = stages()
        host, port = cluster.bootstrap.split(":")
        stage.local_conf(commands="disable_service kafka", NOTIFY_HOST=host, NOTIFY_PORT=port)
        stage.succeed("stack")
        assert stage.pid() is None
        hosts: Hosts = [(host, int(port), None, None)]
        assert_urls(stage, notifications=("kafka-notify", hosts, "", {}))
        assert exchange(stage, unique) == sorted(SERVICES)
        stage.succeed("unstack")
        stage.succeed("clean")
        assert not (stage.dest / "data/kafka").exists()
        with socket.create_connection((host, int(port)), timeout=10):
            pass


def test_life(stages: NewStage, ports: Ports, jars: Path, unique: str) -> None:
    """From a download to clean.sh twice: data outlives unstack.sh, and so does another's Kafka."""
    port, controller_port, decoy_port = ports(3)
    # As the guide has it; the checkout is DEST/kafka.
    stage = stages(plugin="kafka")
    archive = _archive(jars, stage.folder)
    venv = stage.dest / "data/venv"
    stage.local_conf(
        OFFLINE="False",
        DEVSTACK_VENV=str(venv),
        NOTIFY_PORT=port,
        KAFKA_CONTROLLER_PORT=controller_port,
        KAFKA_DOWNLOAD_URL=f"file://{archive}",
        KAFKA_SHA512=hashlib.sha512(archive.read_bytes()).hexdigest(),
    )
    assert stage.run("python3", "-m", "venv", str(venv)).returncode == 0
    stage.succeed("stack")
    # systemd itself, for which there is a stand-in, understands every line of the unit.
    unit = "/etc/systemd/system/devstack@kafka.service"
    read = stage.run("systemd-analyze", "verify", "--man=no", unit)
    assert (read.returncode, read.stdout) == (0, "")
    # By what the plug-in has installed for the services, and as the user that they run as.
    worker = shutil.copy(EXCHANGE, stage.folder)
    files = map(str, stage.conf_files.values())
    done = stage.run(f"{venv}/bin/python", "-W", "ignore", worker, unique, *files)
    assert done.returncode == 0, done.stdout[-4000:]
    assert arrived(done.stdout) == sorted(SERVICES)
    with _decoy(stage, decoy_port) as decoy:
        stage.succeed("unstack")
        assert stage.pid() is None
        # What is installed needs no download.
        archive.unlink()
        stage.succeed("stack")
        assert _records(f"127.0.0.1:{port}", f"{unique}.info") == len(SERVICES)
        stage.succeed("unstack")
        for _ in range(2):
            stage.succeed("clean")
            assert not (stage.dest / "data/kafka").exists()
            assert not (stage.dest / "kafka-dist").exists()
            assert not list((stage.folder / "devstack/files").glob("kafka_*"))
            assert not (stage.folder / "units/devstack@kafka.service").exists()
        assert (stage.dest / "kafka/devstack/plugin.sh").exists()
        assert _records(f"127.0.0.1:{decoy_port}", "nothing") == 0
        assert decoy.poll() is None


def _archive(jars: Path, folder: Path) -> Path:
    """Make an archive like Apache's of the jars of the same Kafka."""
    path = folder / "kafka.tgz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.add(jars, "kafka_2.13-4.3.1/libs")
    path.chmod(0o644)
    return path


class _decoy:  # noqa: N801 - used as a function
    """A Kafka on the stage that is not the plug-in's, found by name as easily as that."""

    def __init__(self, stage: Stage, port: str) -> None:
        self._command = stage.command(
            "env", f"KAFKA_NOTIFY_JARS={stage.folder}/jars",
            sys.executable, "-m", "kafka_notify", "broker",
            "--port", port, "--data-dir", f"{stage.folder}/decoy", user="root",
        )  # fmt: skip

    def __enter__(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            self._command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith("kafka://")
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=120)
        assert self._process.stdout is not None
        self._process.stdout.close()


def _records(bootstrap: str, topic: str) -> int:
    """Return how many records a topic holds."""
    from confluent_kafka import Consumer, TopicPartition

    client = Consumer({"bootstrap.servers": bootstrap, "group.id": "count"})
    try:
        known = client.list_topics(timeout=60).topics
        if topic not in known:
            return 0
        ends = [
            client.get_watermark_offsets(TopicPartition(topic, partition), timeout=60)
            for partition in known[topic].partitions
        ]
        return sum(high - low for low, high in ends)
    finally:
        client.close()


@pytest.mark.parametrize(
    ("local_conf", "message"),
    [
        ({"KAFKA_SHA512": "0" * 128}, "it is damaged or another file. Try again"),
        ({"KAFKA_DOWNLOAD_URL": "http://127.0.0.1:9/kafka.tgz"}, "could not be downloaded"),
        ({"NOTIFY_PORT": "{taken}"}, "Port {taken} is taken: LISTEN"),
        ({"RPC_SERVICE": "amqp"}, "has dropped its AMQP 1.0 driver"),
    ],
)
def test_stops(stages: NewStage, ports: Ports, local_conf: dict[str, str], message: str) -> None:
    """stack.sh stops with a message that says what to do, and leaves nothing half done."""
    port, controller_port = ports(2)
    stage = stages()
    (stage.folder / "page.html").write_text("a page instead of Kafka")
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = str(server.getsockname()[1])
        stage.local_conf(
            **{
                "OFFLINE": "False",
                "NOTIFY_DRIVER": "kafka",
                "commands": "function pip_install_gr { :; }",
                "NOTIFY_PORT": port,
                "KAFKA_CONTROLLER_PORT": controller_port,
                "KAFKA_DOWNLOAD_URL": f"file://{stage.folder}/page.html",
                **{name: value.format(taken=taken) for name, value in local_conf.items()},
            }
        )
        done = stage.phases("stack")
    assert done.returncode != 0
    assert message.format(taken=taken) in done.stdout
    assert not list((stage.folder / "devstack/files").glob("kafka_*"))
    assert not (stage.dest / "kafka-dist").exists()
    assert stage.pid() is None


def test_a_broker_that_does_not_start(stages: NewStage, ports: Ports) -> None:
    """Its log is shown, and nothing is left that systemd would start again."""
    port, controller_port = ports(2)
    stage = stages()
    stage.local_conf(
        KAFKA_DIST_DIR=f"{stage.folder}/jars",
        NOTIFY_PORT=port,
        KAFKA_CONTROLLER_PORT=controller_port,
        # An address that this machine has not.
        KAFKA_LISTEN_ADDRESS="198.51.100.10",
    )
    done = stage.phases("stack")
    assert done.returncode != 0
    assert "The broker has ended by itself" in done.stdout
    assert "198.51.100.10" in done.stdout.split("[ERROR]")[0]
    assert stage.pid() is None
    assert stage.run("sudo", "systemctl", "is-enabled", "devstack@kafka.service").returncode != 0


def test_three_nodes(stages: NewStage, ports: Ports, unique: str) -> None:
    """Three machines' brokers are one cluster, which survives the loss of one of them."""
    found = ports(6)
    clients, controllers = found[:3], found[3:]
    nodes = [stages() for _ in clients]
    for number, stage in enumerate(nodes):
        stage.local_conf(
            KAFKA_DIST_DIR=f"{stage.folder}/jars",
            KAFKA_CLUSTER_ID="MkU3OEVBNTcwNTJENDM2Qg",
            KAFKA_QUORUM_VOTERS=",".join(
                f"{index}@127.0.0.1:{port}" for index, port in enumerate(controllers)
            ),
            # All on one machine: neither follows from the addresses.
            KAFKA_NODE_ID=str(number),
            KAFKA_PORT=clients[number],
            NOTIFY_HOST=",".join(f"127.0.0.1:{port}" for port in clients),
        )
    first = nodes[0].succeed("stack")
    assert "Kafka: node 0 is up, and answers when one of these is, too: 1@127.0.0.1" in first
    with ThreadPoolExecutor() as pool:
        for output in pool.map(lambda stage: stage.succeed("stack"), nodes[1:]):
            assert "Kafka answers at" in output
    hosts: Hosts = [("127.0.0.1", int(port), None, None) for port in clients]
    for stage in nodes:
        assert_urls(stage, notifications=("kafka-notify", hosts, "", {}))
    assert exchange(nodes[0], unique) == sorted(SERVICES)

    gone = nodes[2].pid()
    assert nodes[2].run("sudo", "kill", "-KILL", str(gone)).returncode == 0
    eventually(lambda: nodes[2].pid() is None, 60, "the end of the third node")
    assert exchange(nodes[0], unique) == sorted(SERVICES)
    assert exchange(nodes[1], f"{unique}new") == sorted(SERVICES)
