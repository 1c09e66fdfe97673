# SPDX-License-Identifier: Apache-2.0
"""The driver ``memory``: a deterministic cluster inside this process, made for tests; public.

URL: ``memory://[name]/vhost``. Transports with one name share a cluster, which tests reach too::

    from kafka_notify.drivers.memory import MemoryCluster

    cluster = MemoryCluster.find("mine")               # transport URL memory://mine/
    cluster.records("notifications.info")              # what has been sent, in order
    cluster.committed("pool")                          # a group's next offsets
    cluster.unavailable = True                         # an outage; False ends it
    cluster.refuse("notifications.info", DeliveryRefused("no"))    # None ends it
    cluster.deny_creation = True                       # topics must exist: cluster.create_topic
    cluster.auto_create = False                        # a send creates no topic
    cluster.forget("notifications.info", 0, 5)         # retention: partition 0 starts at 5
    cluster.expel("pool")                              # members lose their partitions
    cluster.fence("pool")                              # members must be made anew
    cluster.clock = fake                               # drives delivery timeouts and timestamps

No threads run: sends, reports and rebalances happen inside the calls of the clients. A key always
goes to the same partition of a topic, records without a key take turns. Nothing is deleted
but what a test removes; the cluster is gone when the last transport is closed and no test holds
it. After a fork parent and child have a copy each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kafka_notify.core.settings import Settings
from kafka_notify.core.url import TransportURL
from kafka_notify.drivers.base import OnProblem, OnReport, ShareClient, no_share_groups
from kafka_notify.drivers.memory_cluster import DEFAULT_PARTITIONS, MemoryCluster
from kafka_notify.drivers.memory_consumer import MemoryConsumer
from kafka_notify.drivers.memory_producer import MemoryProducer
from kafka_notify.drivers.memory_reader import MemoryReader
from kafka_notify.errors import BrokerError, InvalidTransportURL

__all__ = ["DEFAULT_PARTITIONS", "MemoryAdmin", "MemoryCluster", "MemoryDriver"]

DEFAULT_NAME = "memory"


class MemoryDriver:
    """One cluster in memory; see ``drivers.base.Driver``."""

    def __init__(self, url: TransportURL, settings: Settings) -> None:
        self._settings = settings
        self._cluster = MemoryCluster.find(_name_in(url))

    @property
    def address(self) -> str:
        """``memory://name``."""
        return self._cluster.address

    def new_producer(
        self,
        *,
        on_report: OnReport,
        on_problem: OnProblem,
        settings: Settings | None = None,
        gapless: bool = False,
        failures_only: bool = False,
    ) -> MemoryProducer:
        """Return a new producer."""
        return MemoryProducer(
            self._cluster,
            settings or self._settings,
            on_report=on_report,
            on_problem=on_problem,
            gapless=gapless,
            failures_only=failures_only,
        )

    def new_consumer(self, group: str, *, on_problem: OnProblem) -> MemoryConsumer:
        """Return a new consumer of ``group``."""
        return MemoryConsumer(self._cluster, group, on_problem=on_problem)

    def new_share_consumer(self, group: str, *, on_problem: OnProblem) -> ShareClient:
        """Raise ConfigurationError: there are no share groups here."""
        raise no_share_groups("memory")

    def new_reader(self, *, on_problem: OnProblem) -> MemoryReader:
        """Return a new reader."""
        return MemoryReader(self._cluster, on_problem=on_problem)

    def new_admin(self, *, on_problem: OnProblem) -> MemoryAdmin:
        """Return a new admin client; it raises and has nothing to tell besides."""
        return MemoryAdmin(self._cluster)

    def close(self) -> None:
        """Release nothing: the cluster is gone with the last that holds it."""


class MemoryAdmin:
    """``drivers.base.AdminClient`` in memory. Threads: any."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster

    def partition_counts(self, topics: Iterable[str], timeout_s: float) -> dict[str, int]:
        """Return the partitions of those topics that exist; during an outage raise at once."""
        with self._cluster.changed:
            self._cluster.check_available("asking for topics")
            counts = self._cluster.topics()
        return {topic: counts[topic] for topic in topics if topic in counts}

    def create_topics(
        self,
        topics: Sequence[str],
        *,
        partitions: int,
        replication_factor: int,
        timeout_s: float,
        config: Mapping[str, str] | None = None,
    ) -> dict[str, BrokerError | None]:
        """Create topics; every replication factor will do."""
        return {topic: self._create(topic, partitions) for topic in topics}

    def _create(self, topic: str, partitions: int) -> BrokerError | None:
        with self._cluster.changed:
            try:
                self._cluster.check_available(f"creating topic {topic}")
            except BrokerError as error:
                return error
            if topic in self._cluster.topics():
                return None
            problem = self._cluster.creation_problem(topic)
            if problem is None:
                self._cluster.create_topic(topic, partitions)
            return problem

    def topic_config(self, topic: str, name: str, timeout_s: float) -> str | None:
        """Return None: topics in memory have no options."""
        return None

    def group_has_members(self, group: str, timeout_s: float) -> bool:
        """Tell whether a consumer group has live members."""
        with self._cluster.changed:
            self._cluster.check_available(f"asking for the members of group {group}")
            return bool(self._cluster.group(group).members)

    def group_is_at_rest(self, group: str, timeout_s: float) -> bool | None:
        """Tell whether each member owns what is its share."""
        with self._cluster.changed:
            self._cluster.check_available(f"asking for the members of group {group}")
            members = self._cluster.group(group)
            topics = self._cluster.topics()
            return all(one.owned == members.target(one, topics) for one in members.members)

    def abandon(self) -> None:
        """Do nothing: an admin client holds nothing."""

    def close(self) -> None:
        """Do nothing: an admin client holds nothing."""


def _name_in(url: TransportURL) -> str:
    if not url.hosts:
        return DEFAULT_NAME
    host = url.hosts[0]
    if len(url.hosts) > 1 or host.port or host.username or not host.hostname:
        raise InvalidTransportURL(
            url.redacted(), "memory:// takes one name and nothing else; write memory://name/"
        )
    return host.hostname
