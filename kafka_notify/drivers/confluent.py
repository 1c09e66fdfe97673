# SPDX-License-Identifier: Apache-2.0
"""The driver ``kafka``: Apache Kafka over confluent_kafka (librdkafka).

URL: ``kafka://[user:password@]host[:9092][,host…]/vhost?option=value``. The user counts with
security_protocol=SASL_PLAINTEXT or SASL_SSL only. What a cluster, a group or a topic means to
notifications is not known here.
"""

from __future__ import annotations

import logging
from functools import partial

from confluent_kafka import Consumer, Producer

from kafka_notify.core.settings import Settings
from kafka_notify.core.url import TransportURL
from kafka_notify.drivers import confluent_config
from kafka_notify.drivers.base import OnProblem, OnReport, ShareClient
from kafka_notify.drivers.confluent_admin import KafkaAdmin
from kafka_notify.drivers.confluent_client import make
from kafka_notify.drivers.confluent_consumer import KafkaConsumer
from kafka_notify.drivers.confluent_errors import Problems
from kafka_notify.drivers.confluent_health import Health
from kafka_notify.drivers.confluent_producer import KafkaProducer
from kafka_notify.drivers.confluent_reader import KafkaReader
from kafka_notify.drivers.confluent_share_start import ShareStart
from kafka_notify.drivers.confluent_share_watch import ShareWatch
from kafka_notify.drivers.confluent_topic_ids import TopicIds
from kafka_notify.errors import BrokerError, ConfigurationError

LOG = logging.getLogger(__name__)

# From a broker that hangs leaving a share group takes a request's time-out, by default 15 s.
_SHARE_CLOSE_S = 16.0
_LIMIT_S = 5.0
_USUAL_BATCH_BYTES = 1_000_000  # of librdkafka


def _ignore(_problem: BrokerError) -> None:
    """Say nothing: the producer's own problems are told."""


class KafkaDriver:
    """One Kafka cluster; see ``drivers.base.Driver``."""

    def __init__(
        self,
        url: TransportURL,
        settings: Settings,
        *,
        consumer_defaults: confluent_config.Config | None = None,
    ) -> None:
        """``consumer_defaults`` are librdkafka's keys for consumers, below ours."""
        self._consumer_defaults = consumer_defaults or {}
        self._settings = settings
        self._address = confluent_config.bootstrap(url)
        self._shared = confluent_config.connection(url, settings, address=self._address)
        self._classic_cluster = False
        if settings.client_options:
            LOG.info(
                "client_options for librdkafka: %s", confluent_config.describe_options(settings)
            )
        forbidden = confluent_config.forbidden_options(settings)
        if settings.group_protocol == "auto" and forbidden:
            LOG.info(
                "group_protocol=auto takes the classic protocol: client_options has %s, which "
                "KIP-848 forbids",
                ", ".join(forbidden),
            )

    @property
    def address(self) -> str:
        """``host:port`` of the bootstrap servers, joined by commas."""
        return self._address

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
        problems = Problems(address=self._address, on_problem=on_problem)
        config = confluent_config.producer(
            self._shared,
            settings or self._settings,
            gapless=gapless,
            failures_only=failures_only,
        )
        health = Health(problems.forget)
        return KafkaProducer(
            partial(make, Producer, config, problems=problems, health=health),
            health=health,
            address=self._address,
            problems=problems,
            on_report=on_report,
            failures_only=failures_only,
            narrow=None if gapless else partial(self._narrow, config),
        )

    def _narrow(self, config: confluent_config.Config, topic: str) -> None:
        """Bound a producer's batches to what a topic takes; each record alone if nobody tells.

        A record that is larger than this bound has a batch of its own.
        """
        limit = None
        admin = self.new_admin(on_problem=_ignore)
        try:
            limit = admin.topic_config(topic, "max.message.bytes", _LIMIT_S)
        except BrokerError as error:
            LOG.info("The largest batch that topic %s takes is not known: %s", topic, error)
        finally:
            admin.close()
        before = int(config.get("batch.size", _USUAL_BATCH_BYTES))
        config["batch.size"] = min(before, int(limit or 1))

    def new_consumer(self, group: str, *, on_problem: OnProblem) -> KafkaConsumer:
        """Return a new consumer of ``group``; it joins when it subscribes."""
        problems = Problems(address=self._address, on_problem=on_problem)
        protocol = confluent_config.group_protocol(
            self._settings, classic_cluster=self._classic_cluster
        )
        config = confluent_config.consumer(
            {**self._consumer_defaults, **self._shared},
            self._settings,
            group=group,
            protocol=protocol,
        )
        may_fall_back = protocol == "consumer" and self._settings.group_protocol == "auto"
        health = Health(problems.forget)
        topic_ids = TopicIds()
        return KafkaConsumer(
            make(Consumer, config, problems=problems, health=health, topic_ids=topic_ids),
            health=health,
            topic_ids=topic_ids,
            group=group,
            address=self._address,
            problems=problems,
            commit_timeout_s=confluent_config.socket_timeout_s(config),
            on_unsupported=partial(self._use_classic, group) if may_fall_back else None,
        )

    def new_share_consumer(self, group: str, *, on_problem: OnProblem) -> ShareClient:
        """Return a new member of the share group ``group``; it joins when it subscribes."""
        try:
            from kafka_notify.drivers.confluent_share import KafkaShareConsumer, new_client
        except ImportError as error:
            raise ConfigurationError(
                "commit_policy=share needs confluent-kafka 2.15 or later, which has a share "
                "consumer: upgrade it, or use another commit_policy"
            ) from error
        left_out = confluent_config.not_for_shares(self._settings)
        if left_out:
            LOG.info("client_options without a meaning in share groups: %s", ", ".join(left_out))
        problems = Problems(address=self._address, on_problem=on_problem)
        watch = ShareWatch(Health(problems.forget))
        config = confluent_config.share_consumer(self._shared, self._settings, group=group)
        start = ShareStart(
            self.new_admin(on_problem=on_problem),
            group=group,
            from_end=self._settings.group_start == "end",
            timeout_s=self._settings.connect_timeout,
            longest_start_s=self._settings.start_timeout,
        )
        return KafkaShareConsumer(
            new_client(config, watch, problems=problems),
            watch=watch,
            start=start,
            group=group,
            address=self._address,
            problems=problems,
            on_problem=on_problem,
            close_timeout_s=_SHARE_CLOSE_S,
        )

    def new_reader(self, *, on_problem: OnProblem) -> KafkaReader:
        """Return a new reader."""
        problems = Problems(address=self._address, on_problem=on_problem)
        health = Health(problems.forget)
        config = confluent_config.reader(
            {**self._consumer_defaults, **self._shared}, self._settings
        )
        topic_ids = TopicIds()
        return KafkaReader(
            make(Consumer, config, problems=problems, health=health, topic_ids=topic_ids),
            health=health,
            topic_ids=topic_ids,
            address=self._address,
            problems=problems,
        )

    def _use_classic(self, group: str) -> None:
        self._classic_cluster = True
        LOG.info(
            "group_protocol=auto takes the classic protocol from now on: %s refused the one of "
            "KIP-848 to group %s",
            self._address,
            group,
        )

    def new_admin(self, *, on_problem: OnProblem) -> KafkaAdmin:
        """Return a new admin client."""
        config = confluent_config.admin(self._shared, self._settings)
        return KafkaAdmin(config, address=self._address, on_problem=on_problem)

    def close(self) -> None:
        """Release nothing: the clients are closed by those who made them."""
