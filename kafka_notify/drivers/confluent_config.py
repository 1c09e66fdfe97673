# SPDX-License-Identifier: Apache-2.0
"""From our settings and a transport URL to librdkafka's keys; seconds become milliseconds here.

Pure but for two log lines. See librdkafka's CONFIGURATION.md for the keys.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from kafka_notify.core.settings import Settings
from kafka_notify.core.url import REDACTED, TransportURL, addresses, is_secret
from kafka_notify.errors import InvalidTransportURL

LOG = logging.getLogger(__name__)

DEFAULT_PORT = 9092
CLIENT_ID = "kafka-notify"

Config = dict[str, str | int | float | bool]

FORBIDDEN_BY_KIP_848 = frozenset(
    (
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "partition.assignment.strategy",
        "group.protocol.type",
    )
)
"""librdkafka refuses these with group.protocol=consumer: the brokers decide them there."""

# librdkafka warns of options that its kind of client ignores, so each kind is given its own.
_CONSUMER_ONLY = (
    "group.", "session.timeout.", "heartbeat.", "partition.assignment.", "coordinator.query.",
    "max.poll.", "enable.auto.", "auto.commit.", "auto.offset.", "queued.", "fetch.",
    "max.partition.fetch.", "offset.store.", "isolation.", "enable.partition.eof", "check.crcs",
    "consume.",
)  # fmt: skip
_PRODUCER_ONLY = (
    "transaction", "enable.idempotence", "enable.gapless.", "queue.buffering.", "linger.",
    "message.send.", "retries", "compression.", "batch.", "delivery.", "sticky.", "acks",
    "request.required.", "request.timeout.", "message.timeout.", "partitioner", "queuing.",
    "dr_", "produce.",
)  # fmt: skip

_NOT_FOR_SHARES = (
    "group.instance.id", "group.protocol", "group.remote.assignor", "session.timeout.",
    "heartbeat.", "partition.assignment.", "enable.auto.", "auto.", "queued.", "isolation.level",
    "enable.partition.eof", "fetch.queue.", "fetch.error.", "message.copy.", "topic.blacklist",
    "socket.max.fails", "allow.auto.create.topics", "consume.",
)  # fmt: skip
"""Options of a consumer that librdkafka refuses to a share consumer: brokers decide, or nobody."""

_SASL_WITH_PASSWORD = ("PLAIN", "SCRAM-")
_LEAST_POLL_INTERVAL_S = 300.0
_POLL_INTERVAL_MARGIN_S = 60.0
# What one answer may hold of all partitions: by default three times as much, and with a hundred
# partitions as much is in memory at once.
_USUAL_FETCH_BYTES = 16_777_216
_USUAL_RECEIVE_BYTES = 100_000_000
_RESPONSE_OVERHEAD_BYTES = (
    512  # librdkafka's rule: receive.message.max.bytes ≥ fetch.max.bytes + 512
)

# A share consumer asks one broker after the other, and each that has nothing keeps it waiting for
# so long: with the default of 500 ms a record of three brokers' is late by as much on average.
_SHARE_FETCH_WAIT_MS = 20
_LONGEST_POLL_INTERVAL_MS = 86_400_000

# How long a request to a broker that hangs is waited for, and a commit as a whole.
_SOCKET_TIMEOUT_MS = 15_000

_warned: set[str] = set()


def bootstrap(url: TransportURL) -> str:
    """Return ``host:port[,…]`` of the URL; raise InvalidTransportURL when it names no host."""
    if not any(host.hostname for host in url.hosts):
        raise InvalidTransportURL(
            url.redacted(),
            f"it names no host; write {url.transport}://host:9092/ (several: host1,host2)",
        )
    return addresses(url.hosts, DEFAULT_PORT)


def connection(url: TransportURL, settings: Settings, *, address: str) -> Config:
    """Return the keys that all kinds of clients share.

    Raises InvalidTransportURL when the SASL mechanism needs a user and the URL has none.
    """
    config: Config = {
        "bootstrap.servers": address,
        "client.id": CLIENT_ID,
        "security.protocol": settings.security_protocol,
        # A broker that comes back is found within about a second.
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 1000,
        "socket.keepalive.enable": True,
        # As Kafka's own clients have it: a small request does not wait until the one before it is
        # acknowledged. 20 of the 430 us from a bare producer to a bare consumer.
        "socket.nagle.disable": True,
        "socket.connection.setup.timeout.ms": max(1000, _ms(settings.connect_timeout)),
    }
    secured = {
        "ssl.ca.location": settings.ssl_cafile,
        "ssl.certificate.location": settings.ssl_client_cert_file,
        "ssl.key.location": settings.ssl_client_key_file,
        "ssl.key.password": settings.ssl_client_key_password,
    }
    config.update({key: value for key, value in secured.items() if value})
    if settings.security_protocol.startswith("SASL_"):
        config.update(_sasl(url, settings))
    elif url.username:
        _warn_of_unused_credentials(url, settings)
    return config


def _sasl(url: TransportURL, settings: Settings) -> Config:
    mechanism = settings.sasl_mechanism.upper()
    config: Config = {"sasl.mechanism": mechanism}
    if not mechanism.startswith(_SASL_WITH_PASSWORD):
        return config
    if not url.username and "sasl.username" not in settings.client_options:
        raise InvalidTransportURL(
            url.redacted(),
            f"security_protocol={settings.security_protocol} with sasl_mechanism={mechanism} "
            f"needs a user; write {url.transport}://user:password@host:9092/",
        )
    config["sasl.username"] = url.username or ""
    config["sasl.password"] = url.password or ""
    return config


def _warn_of_unused_credentials(url: TransportURL, settings: Settings) -> None:
    shown = url.redacted()
    if shown in _warned:
        return
    _warned.add(shown)
    LOG.warning(
        "%s has a user and password, which security_protocol=%s does not use; to log in set "
        "security_protocol=SASL_PLAINTEXT or SASL_SSL",
        shown,
        settings.security_protocol,
    )


def producer(
    shared: Mapping[str, str | int | float | bool],
    settings: Settings,
    *,
    gapless: bool = False,
    failures_only: bool = False,
) -> Config:
    """Return the keys of a producer: idempotent, acks=all, one bounded time per record.

    A ``gapless`` one ends with a fatal error where it would leave out a refused batch. One of
    ``failures_only`` calls back for no record that is delivered.
    """
    timeout_s = (
        settings.confirm_timeout if settings.delivery == "confirm" else settings.delivery_timeout
    )
    config: Config = {
        **shared,
        "enable.idempotence": True,
        "acks": "all",
        "message.timeout.ms": _ms(timeout_s),
        "linger.ms": settings.producer_batch_timeout * 1000,
        # With five, as the client has it, a request goes for each few records, and costs the
        # process a fifth of its work. One is asked for while the other is answered.
        "max.in.flight.requests.per.connection": 2,
        "batch.num.messages": settings.producer_batch_size,
        "compression.codec": settings.compression_codec,
        "message.max.bytes": settings.max_record_bytes,
        "queue.buffering.max.messages": settings.send_buffer_records,
        "queue.buffering.max.kbytes": max(1, settings.send_buffer_bytes // 1024),
        # A topic that the brokers create at its first record has a leader some 50 ms later.
        "topic.metadata.refresh.fast.interval.ms": 50,
    }
    if gapless:
        config["enable.gapless.guarantee"] = True
    if failures_only:
        config["delivery.report.only.error"] = True
    if settings.record_key == "none":
        # Who wants no order wants spread: by default a burst sticks to one partition for 10 ms.
        config["sticky.partitioning.linger.ms"] = 0
    config.update(_options(settings, _CONSUMER_ONLY))
    return config


def consumer(
    shared: Mapping[str, str | int | float | bool],
    settings: Settings,
    *,
    group: str,
    protocol: str,
) -> Config:
    """Return the keys of a consumer; ``protocol`` is what ``group_protocol`` decided."""
    fetch_bytes = max(_USUAL_FETCH_BYTES, settings.kafka_max_fetch_bytes)
    poll_interval_s = max(_LEAST_POLL_INTERVAL_S, settings.drain_timeout + _POLL_INTERVAL_MARGIN_S)
    config: Config = {
        **shared,
        "group.id": group,
        "group.protocol": protocol,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": False,
        "auto.offset.reset": "earliest",
        "allow.auto.create.topics": False,
        "socket.timeout.ms": _SOCKET_TIMEOUT_MS,
        "max.poll.interval.ms": _ms(poll_interval_s),
        "topic.metadata.refresh.interval.ms": _ms(settings.topic_refresh),
        "max.partition.fetch.bytes": settings.kafka_max_fetch_bytes,
        "fetch.max.bytes": fetch_bytes,
        "receive.message.max.bytes": max(
            _USUAL_RECEIVE_BYTES, fetch_bytes + _RESPONSE_OVERHEAD_BYTES
        ),
        "fetch.error.backoff.ms": 100,
        # What is fetched ahead of the endpoints. By default four times as much, and a backlog
        # then takes twice the memory; half a second of records is enough for the next fetch.
        "queued.max.messages.kbytes": 16_384,
        # How long a full local queue makes fetching pause; the default of 1 s is felt.
        "fetch.queue.backoff.ms": 100,
    }
    if protocol == "classic":
        config["partition.assignment.strategy"] = "range"
    else:
        config = {key: value for key, value in config.items() if key not in FORBIDDEN_BY_KIP_848}
    config.update(_options(settings, _PRODUCER_ONLY))
    return config


def reader(shared: Mapping[str, str | int | float | bool], settings: Settings) -> Config:
    """Return the keys of a consumer that is in no group: it only bears a group's name.

    Where a record is gone it says so, instead of going on somewhere else.
    """
    config = consumer(shared, settings, group=settings.consumer_group, protocol="classic")
    return {
        **config,
        "auto.offset.reset": "error",
        "max.poll.interval.ms": _LONGEST_POLL_INTERVAL_MS,
    }


def share_consumer(
    shared: Mapping[str, str | int | float | bool], settings: Settings, *, group: str
) -> Config:
    """Return the keys of a member of a share group."""
    fetch_bytes = max(_USUAL_FETCH_BYTES, settings.kafka_max_fetch_bytes)
    config: Config = {
        **shared,
        "group.id": group,
        "share.acknowledgement.mode": "explicit",
        "max.poll.records": min(settings.max_poll_records, settings.dispatch_window),
        "fetch.wait.max.ms": _SHARE_FETCH_WAIT_MS,
        "fetch.max.bytes": fetch_bytes,
        "receive.message.max.bytes": max(
            _USUAL_RECEIVE_BYTES, fetch_bytes + _RESPONSE_OVERHEAD_BYTES
        ),
        "socket.timeout.ms": _SOCKET_TIMEOUT_MS,
        # Polling waits for the slowest endpoint; locks run out without any help from this.
        "max.poll.interval.ms": _LONGEST_POLL_INTERVAL_MS,
        "topic.metadata.refresh.interval.ms": _ms(settings.topic_refresh),
    }
    config.update(_options(settings, _PRODUCER_ONLY + _NOT_FOR_SHARES))
    return config


def not_for_shares(settings: Settings) -> list[str]:
    """Return the client options that are left out where a share group is listened to."""
    return sorted(name for name in settings.client_options if name.startswith(_NOT_FOR_SHARES))


def socket_timeout_s(config: Config) -> float:
    """Return how long a client of this configuration waits for an answer."""
    return float(config["socket.timeout.ms"]) / 1000


def admin(shared: Mapping[str, str | int | float | bool], settings: Settings) -> Config:
    """Return the keys of an admin client."""
    config: Config = {**shared, "allow.auto.create.topics": False}
    config.update(_options(settings, _CONSUMER_ONLY + _PRODUCER_ONLY))
    return config


def group_protocol(settings: Settings, *, classic_cluster: bool) -> str:
    """Return 'consumer' or 'classic': what a member must speak.

    ``classic_cluster`` tells that this cluster has shown not to know KIP-848.
    """
    asked = settings.client_options.get("group.protocol", settings.group_protocol)
    if asked != "auto":
        return asked
    if classic_cluster or forbidden_options(settings):
        return "classic"
    return "consumer"


def forbidden_options(settings: Settings) -> list[str]:
    """Return the client options that KIP-848 forbids, which make 'auto' choose classic."""
    return sorted(FORBIDDEN_BY_KIP_848.intersection(settings.client_options))


def describe_options(settings: Settings) -> str:
    """Return the client options as text for a log, secrets blotted out."""
    return ", ".join(
        f"{name}={REDACTED if is_secret(name) else value}"
        for name, value in sorted(settings.client_options.items())
    )


def _options(settings: Settings, others: tuple[str, ...]) -> dict[str, str]:
    return {
        name: value
        for name, value in settings.client_options.items()
        if not name.startswith(others)
    }


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
