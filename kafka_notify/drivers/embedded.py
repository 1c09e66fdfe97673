# SPDX-License-Identifier: Apache-2.0
"""The driver ``embedded``: librdkafka's mock cluster inside this process, for trials and tests.

URL: ``embedded://[name]/vhost``. Drivers with one name in one process share a cluster; it starts
with the first, ends with the last and keeps everything in memory. Other processes reach it as
``kafka://`` + ``driver.address``; a child of fork connects to its parent's.

Limits of the mock: every topic has 4 partitions, about 5 MB of each are kept; no passwords and no
TLS; the first member of a classic group waits 3 s, and no commits are taken while such a group
rebalances; a member that speaks KIP-848 does not notice a subscribed topic that appears later
(``create_topics`` before ``subscribe``); offsets of a group that ever had members cannot be
committed from outside.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from kafka_notify.core.settings import Settings
from kafka_notify.core.url import TransportHost, TransportURL
from kafka_notify.drivers.base import OnProblem, OnReport, ShareClient, no_share_groups
from kafka_notify.drivers.confluent import KafkaDriver
from kafka_notify.drivers.confluent_admin import KafkaAdmin
from kafka_notify.drivers.confluent_client import leak
from kafka_notify.drivers.confluent_config import Config
from kafka_notify.drivers.confluent_consumer import KafkaConsumer
from kafka_notify.drivers.confluent_errors import broker_error
from kafka_notify.drivers.confluent_producer import KafkaProducer
from kafka_notify.drivers.confluent_reader import KafkaReader
from kafka_notify.errors import BrokerError, BrokerUnavailable, InvalidTransportURL
from kafka_notify.native import threading

LOG = logging.getLogger(__name__)

PARTITIONS = 4
DEFAULT_NAME = "embedded"

_CONSUMER_DEFAULTS: Config = {
    # The mock waits session.timeout.ms - 1 s for the other members at each classic rebalance.
    "session.timeout.ms": 3000,
    "heartbeat.interval.ms": 500,
    # It answers a fetch when this is over, a real broker as soon as there is a record.
    "fetch.wait.max.ms": 5,
}
_START_TIMEOUT_S = 10.0
_LEAST_S = 0.1


@dataclass(slots=True)
class _Cluster:
    """One mock cluster: it lives as long as ``owner`` does, in the process ``pid``."""

    owner: Producer
    hostname: str
    port: int
    pid: int = field(default_factory=os.getpid)
    users: int = 0

    def answers(self) -> bool:
        """Tell whether the process that owns it, a parent of this one, still runs it."""
        try:
            socket.create_connection((self.hostname, self.port), timeout=1).close()
        except OSError:
            return False
        return True


class _Clusters:
    """The clusters of this process by name, and those that it inherited by fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_name: dict[str, _Cluster] = {}
        os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        for cluster in self._by_name.values():
            leak(cluster.owner)

    def acquire(self, name: str) -> _Cluster:
        """Return the cluster of this name, a new one if need be; pair with ``release``."""
        with self._lock:
            cluster = self._by_name.get(name)
            inherited = cluster is not None and cluster.pid != os.getpid()
            if cluster is None or (inherited and not cluster.answers()):
                cluster = self._by_name[name] = _start()
            cluster.users += 1
            return cluster

    def release(self, name: str) -> None:
        """End the cluster if nobody uses it any more."""
        with self._lock:
            cluster = self._by_name.get(name)
            if cluster is None or cluster.pid != os.getpid():
                return
            cluster.users -= 1
            if not cluster.users:
                del self._by_name[name]


def _start() -> _Cluster:
    owner = Producer(
        {
            "bootstrap.servers": "replaced-by-the-mock",
            "client.id": "kafka-notify-embedded",
            "test.mock.num.brokers": 1,
            "log_level": 0,  # nobody polls it, so its log lines would pile up
        }
    )
    try:
        brokers = owner.list_topics(timeout=_START_TIMEOUT_S).brokers
    except KafkaException as error:
        raise BrokerUnavailable(f"the embedded cluster did not start: {error}") from error
    broker = next(iter(brokers.values()))
    return _Cluster(owner, broker.host, broker.port)


_clusters = _Clusters()


class EmbeddedDriver:
    """One embedded cluster; see ``drivers.base.Driver``. Making one starts the cluster."""

    def __init__(self, url: TransportURL, settings: Settings) -> None:
        self._name = _name_in(url)
        if settings.topic_partitions not in (-1, PARTITIONS):
            LOG.warning(
                "topic_partitions=%d is not heeded: every topic of embedded:// has %d partitions",
                settings.topic_partitions,
                PARTITIONS,
            )
        cluster = _clusters.acquire(self._name)
        self._open = True
        self._kafka = KafkaDriver(
            TransportURL("kafka", hosts=[TransportHost(cluster.hostname, cluster.port)]),
            dataclasses.replace(
                settings,
                security_protocol="PLAINTEXT",
                ssl_cafile="",
                ssl_client_cert_file="",
                ssl_client_key_file="",
                ssl_client_key_password="",
            ),
            consumer_defaults=_CONSUMER_DEFAULTS,
        )

    @property
    def address(self) -> str:
        """``host:port`` on the loopback interface; any Kafka client of this machine can use it."""
        return self._kafka.address

    def new_producer(
        self,
        *,
        on_report: OnReport,
        on_problem: OnProblem,
        settings: Settings | None = None,
        gapless: bool = False,
        failures_only: bool = False,
    ) -> KafkaProducer:
        """Return a new producer."""
        return self._kafka.new_producer(
            on_report=on_report,
            on_problem=on_problem,
            settings=settings,
            gapless=gapless,
            failures_only=failures_only,
        )

    def new_consumer(self, group: str, *, on_problem: OnProblem) -> KafkaConsumer:
        """Return a new consumer of ``group``."""
        return self._kafka.new_consumer(group, on_problem=on_problem)

    def new_share_consumer(self, group: str, *, on_problem: OnProblem) -> ShareClient:
        """Raise ConfigurationError: there are no share groups here."""
        raise no_share_groups("embedded")

    def new_reader(self, *, on_problem: OnProblem) -> KafkaReader:
        """Return a new reader."""
        return self._kafka.new_reader(on_problem=on_problem)

    def new_admin(self, *, on_problem: OnProblem) -> EmbeddedAdmin:
        """Return a new admin client."""
        return EmbeddedAdmin(self._kafka.new_admin(on_problem=on_problem), address=self.address)

    def close(self) -> None:
        """Let go of the cluster; it ends with its last driver. Idempotent."""
        if self._open:
            self._open = False
            _clusters.release(self._name)


class EmbeddedAdmin:
    """``drivers.base.AdminClient``: the mock has no CreateTopics, but makes topics asked about."""

    def __init__(self, kafka: KafkaAdmin, *, address: str) -> None:
        self._kafka = kafka
        self._address = address

    def partition_counts(self, topics: Iterable[str], timeout_s: float) -> dict[str, int]:
        """Return the partitions of those topics that exist."""
        return self._kafka.partition_counts(topics, timeout_s)

    def create_topics(
        self,
        topics: Sequence[str],
        *,
        partitions: int,
        replication_factor: int,
        timeout_s: float,
        config: Mapping[str, str] | None = None,
    ) -> dict[str, BrokerError | None]:
        """Create topics of 4 partitions, whatever is asked for."""
        client = AdminClient({"bootstrap.servers": self._address, "log_level": 0})
        return {topic: self._create(client, topic, timeout_s) for topic in topics}

    def _create(self, client: AdminClient, topic: str, timeout_s: float) -> BrokerError | None:
        try:
            client.list_topics(topic, timeout=max(_LEAST_S, timeout_s))
        except KafkaException as error:
            return broker_error(
                error.args[0], doing=f"creating topic {topic} at {self._address} (embedded)"
            )
        return None

    def topic_config(self, topic: str, name: str, timeout_s: float) -> str | None:
        """Return None: the mock's topics have no options."""
        return None

    def group_has_members(self, group: str, timeout_s: float) -> bool:
        """Return False: the mock does not describe groups, so a listener waits until it joined."""
        return False

    def group_is_at_rest(self, group: str, timeout_s: float) -> bool | None:
        """Return None: the mock does not tell of groups."""
        return None

    def abandon(self) -> None:
        """Do nothing: no client outlives a call."""

    def close(self) -> None:
        """Do nothing: no client outlives a call."""


def _name_in(url: TransportURL) -> str:
    if not url.hosts:
        return DEFAULT_NAME
    host = url.hosts[0]
    if len(url.hosts) > 1 or host.port or host.username or not host.hostname:
        raise InvalidTransportURL(
            url.redacted(), "embedded:// takes one name and nothing else; write embedded://name/"
        )
    return host.hostname
