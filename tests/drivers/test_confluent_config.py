# SPDX-License-Identifier: Apache-2.0
"""Settings and URL become librdkafka's keys."""

from __future__ import annotations

import logging

import pytest

from kafka_notify.core.settings import Settings
from kafka_notify.core.url import parse_url
from kafka_notify.drivers import confluent_config
from kafka_notify.drivers.base import load_driver
from kafka_notify.errors import InvalidTransportURL

PASSWORD = "s3cr3t/word"
LOGIN = "kafka://alice:s3cr3t%2Fword@h1:9093,h2/"


def connection(url: str, **settings: object) -> confluent_config.Config:
    parsed = parse_url(url)
    return confluent_config.connection(
        parsed, Settings(**settings), address=confluent_config.bootstrap(parsed)
    )


def consumer(protocol: str = "consumer", **settings: object) -> confluent_config.Config:
    return confluent_config.consumer({}, Settings(**settings), group="g", protocol=protocol)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("kafka://h1", "h1:9092"),
        ("kafka://h1:1234,h2", "h1:1234,h2:9092"),
        ("kafka://[::1],[fe80::1]:1234", "[::1]:9092,[fe80::1]:1234"),
    ],
)
def test_hosts_become_bootstrap_servers(url: str, expected: str) -> None:
    """Hosts without a port get Kafka's."""
    assert confluent_config.bootstrap(parse_url(url)) == expected


@pytest.mark.parametrize("url", ["kafka://", "kafka:///vhost"])
def test_url_without_a_host(url: str) -> None:
    """The error says what to write."""
    with pytest.raises(InvalidTransportURL, match="kafka://host:9092/"):
        load_driver(parse_url(url), Settings())


def test_login_only_with_sasl() -> None:
    """User and password of the URL are used with SASL_* alone."""
    sasl = connection(LOGIN, security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-256")
    assert sasl["security.protocol"] == "SASL_SSL"
    assert sasl["sasl.mechanism"] == "SCRAM-SHA-256"
    assert (sasl["sasl.username"], sasl["sasl.password"]) == ("alice", PASSWORD)
    plain = connection(LOGIN)
    assert not {key for key in plain if key.startswith("sasl.")}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_sasl_without_a_user(mechanism: str) -> None:
    """A mechanism with passwords and a URL without a user: the error says what to write."""
    with pytest.raises(InvalidTransportURL, match="user:password@"):
        connection("kafka://h", security_protocol="SASL_PLAINTEXT", sasl_mechanism=mechanism)
    assert "sasl.username" not in connection(
        "kafka://h", security_protocol="SASL_PLAINTEXT", sasl_mechanism="GSSAPI"
    )


def test_unused_login_warns_once(caplog: pytest.LogCaptureFixture, unique: str) -> None:
    """Each URL is warned of once in a process, with the remedy and without the password."""
    url = f"kafka://alice:s3cr3t%2Fword@{unique}/"
    for _ in range(3):
        connection(url)
    connection(url, security_protocol="SSL")
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING
    assert "SASL_PLAINTEXT" in caplog.text
    assert unique in caplog.text
    assert "s3cr3t" not in caplog.text


def test_tls_options_that_are_set() -> None:
    """Empty ssl_* options are left out: the client's defaults hold."""
    assert not {key for key in connection("kafka://h") if key.startswith("ssl.")}
    config = connection(
        "kafka://h",
        security_protocol="SSL",
        ssl_cafile="/ca",
        ssl_client_cert_file="/cert",
        ssl_client_key_file="/key",
        ssl_client_key_password="pw",
    )
    assert {key: value for key, value in config.items() if key.startswith("ssl.")} == {
        "ssl.ca.location": "/ca",
        "ssl.certificate.location": "/cert",
        "ssl.key.location": "/key",
        "ssl.key.password": "pw",
    }


def test_a_returning_broker_is_found_quickly() -> None:
    """The back-off between attempts to connect stays at a second at most."""
    assert connection("kafka://h")["reconnect.backoff.max.ms"] == 1000


def test_producer_keys() -> None:
    """The producer is idempotent, waits for all replicas, and seconds are milliseconds."""
    config = confluent_config.producer(
        {"client.id": "shared"},
        Settings(
            delivery_timeout=12.5,
            producer_batch_timeout=0.005,
            producer_batch_size=77,
            compression_codec="lz4",
            max_record_bytes=2000,
            send_buffer_records=5,
            send_buffer_bytes=10_240,
        ),
    )
    expected = {
        "client.id": "shared",
        "enable.idempotence": True,
        "acks": "all",
        "message.timeout.ms": 12_500,
        "linger.ms": 5.0,
        "max.in.flight.requests.per.connection": 2,
        "batch.num.messages": 77,
        "compression.codec": "lz4",
        "message.max.bytes": 2000,
        "queue.buffering.max.messages": 5,
        "queue.buffering.max.kbytes": 10,
    }
    assert expected.items() <= config.items()


def test_what_the_user_asks_of_the_client_wins() -> None:
    """For a cluster that is far away, say, more requests may be on their way at once."""
    settings = Settings(client_options={"max.in.flight.requests.per.connection": "5"})
    config = confluent_config.producer({}, settings)
    assert config["max.in.flight.requests.per.connection"] == "5"


def test_confirmed_delivery_has_its_own_timeout() -> None:
    """With delivery=confirm one attempt takes confirm_timeout."""
    settings = Settings(delivery="confirm", confirm_timeout=3, delivery_timeout=100)
    assert confluent_config.producer({}, settings)["message.timeout.ms"] == 3000


def test_consumer_keys() -> None:
    """Nothing is committed by itself, reading begins at the start, and no topic is created."""
    config = consumer(topic_refresh=2.5, kafka_max_fetch_bytes=1234)
    expected = {
        "group.id": "g",
        "group.protocol": "consumer",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": False,
        "auto.offset.reset": "earliest",
        "allow.auto.create.topics": False,
        "topic.metadata.refresh.interval.ms": 2500,
        "max.partition.fetch.bytes": 1234,
    }
    assert expected.items() <= config.items()


def test_large_fetches_are_consistent() -> None:
    """What librdkafka demands holds: partition ≤ fetch ≤ receive - 512 bytes."""
    for size in (1, 1_048_576, 1_000_000_000):
        config = consumer(kafka_max_fetch_bytes=size)
        fetch, receive = config["fetch.max.bytes"], config["receive.message.max.bytes"]
        assert isinstance(fetch, int)
        assert isinstance(receive, int)
        assert size <= fetch <= receive - 512


def test_poll_interval_covers_the_drain() -> None:
    """A member that drains for drain_timeout is not thrown out for it."""
    assert consumer()["max.poll.interval.ms"] == 300_000
    assert consumer(drain_timeout=3600)["max.poll.interval.ms"] == 3_660_000


def test_protocol_of_groups() -> None:
    """Classic members use the range assignor; KIP-848 refuses to be told of one."""
    assert "partition.assignment.strategy" not in consumer("consumer")
    assert consumer("classic")["partition.assignment.strategy"] == "range"


@pytest.mark.parametrize(
    ("settings", "classic_cluster", "expected"),
    [
        ({}, False, "consumer"),
        ({}, True, "classic"),
        ({"group_protocol": "classic"}, False, "classic"),
        ({"group_protocol": "consumer"}, True, "consumer"),
        ({"client_options": {"session.timeout.ms": "6000"}}, False, "classic"),
        ({"client_options": {"heartbeat.interval.ms": "500"}}, False, "classic"),
        ({"client_options": {"partition.assignment.strategy": "range"}}, False, "classic"),
        ({"client_options": {"group.protocol.type": "consumer"}}, False, "classic"),
        ({"client_options": {"group.protocol": "classic"}}, False, "classic"),
        ({"client_options": {"fetch.min.bytes": "2"}}, False, "consumer"),
    ],
)
def test_choice_of_the_protocol(
    settings: dict[str, object], classic_cluster: bool, expected: str
) -> None:
    """auto means KIP-848 unless the cluster lacks it or an option forbids it."""
    chosen = confluent_config.group_protocol(Settings(**settings), classic_cluster=classic_cluster)
    assert chosen == expected


def test_choice_of_classic_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The option that made auto choose classic is named once per driver."""
    caplog.set_level(logging.INFO)
    load_driver(parse_url("kafka://h/"), Settings(client_options={"session.timeout.ms": "6000"}))
    assert "session.timeout.ms, which KIP-848 forbids" in caplog.text


def test_client_options_win_and_reach_their_kind() -> None:
    """They are applied last; a producer is spared a consumer's options and the reverse."""
    settings = Settings(
        client_options={
            "linger.ms": "7",
            "fetch.min.bytes": "8",
            "client.id": "mine",
            "auto.offset.reset": "latest",
        }
    )
    shared: confluent_config.Config = {"client.id": "kafka-notify"}
    producer = confluent_config.producer(shared, settings)
    member = confluent_config.consumer(shared, settings, group="g", protocol="classic")
    admin = confluent_config.admin(shared, settings)
    assert (producer["linger.ms"], member["fetch.min.bytes"]) == ("7", "8")
    assert member["auto.offset.reset"] == "latest"
    assert {producer["client.id"], member["client.id"], admin["client.id"]} == {"mine"}
    assert "fetch.min.bytes" not in producer
    assert "linger.ms" not in member
    assert not {"linger.ms", "fetch.min.bytes"} & admin.keys()


def test_client_options_are_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """Each option is named with its value, passwords excepted."""
    caplog.set_level(logging.INFO)
    load_driver(
        parse_url("kafka://h/"),
        Settings(client_options={"linger.ms": "7", "ssl.keystore.password": "s3cr3t"}),
    )
    assert "linger.ms=7, ssl.keystore.password=***" in caplog.text
    assert "s3cr3t" not in caplog.text
