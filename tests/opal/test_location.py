# SPDX-License-Identifier: Apache-2.0
"""Where the backbone is: the URL's options, and the stock broadcaster's environment."""

from __future__ import annotations

import logging

import pytest

from kafka_notify.errors import ConfigurationError, InvalidTransportURL
from kafka_notify.opal.location import locate


def test_the_url_as_opal_has_it() -> None:
    """A bare URL is enough; published events wait for a Kafka that is away."""
    url, settings = locate("kafka://one:9092,two:9092", {})
    assert [host.address for host in url.hosts] == ["one:9092", "two:9092"]
    assert (settings.delivery, settings.dead_letter) == ("confirm", False)
    assert settings.confirm_timeout == settings.delivery_timeout == 86_400


def test_the_urls_delivery_wins_over_that_of_its_user() -> None:
    """A server's and a relay's differ where the URL says nothing."""
    bare, told = "kafka://host", "kafka://host/?delivery=confirm"
    assert locate(bare, {}, delivery="report")[1].delivery == "report"
    assert locate(told, {}, delivery="report")[1].delivery == "confirm"


def test_the_url_takes_our_options() -> None:
    """Every option of ours can be given, and wins over what is usual here."""
    text = "kafka://u:p%40w@host/?security_protocol=SASL_SSL&dead_letter=true&confirm_timeout=7"
    url, settings = locate(text, {})
    assert (url.username, url.password) == ("u", "p@w")
    assert settings.security_protocol == "SASL_SSL"
    assert (settings.dead_letter, settings.confirm_timeout) == (True, 7)


def test_events_that_nobody_waits_for_go_together() -> None:
    """delivery=report has 5 ms for a batch, unless the URL says otherwise."""
    _, waits = locate("kafka://host", {})
    _, report = locate("kafka://host/?delivery=report", {})
    _, told = locate("kafka://host/?delivery=report&producer_batch_timeout=0.1", {})
    assert waits.producer_batch_timeout == 0
    assert (report.producer_batch_timeout, report.delivery_timeout) == (0.005, 86_400)
    assert told.producer_batch_timeout == 0.1


def test_the_stock_broadcasters_environment() -> None:
    """permit-broadcaster's variables mean what they mean there."""
    environment = {
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
        "KAFKA_PLAIN_USERNAME": "alice",
        "KAFKA_PLAIN_PASSWORD": "s3cret",
        "KAFKA_SSL_CAFILE": "/ca.pem",
        "KAFKA_SSL_CERTFILE": "/cert.pem",
        "KAFKA_SSL_KEYFILE": "/key.pem",
        "KAFKA_SSL_KEY_PASSWORD": "kpw",
    }
    url, settings = locate("kafka://host:9093", environment)
    assert (url.username, url.password) == ("alice", "s3cret")
    assert settings.security_protocol == "SASL_SSL"
    assert settings.sasl_mechanism == "SCRAM-SHA-256"
    assert settings.ssl_cafile == "/ca.pem"
    assert settings.ssl_client_cert_file == "/cert.pem"
    assert settings.ssl_client_key_file == "/key.pem"
    assert settings.ssl_client_key_password == "kpw"
    assert "s3cret" not in f"{url!r} {settings!r}"
    assert "kpw" not in repr(settings)


def test_the_url_wins_over_the_environment() -> None:
    """A user and a protocol in the URL are those that count."""
    environment = {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_PLAIN_USERNAME": "alice"}
    url, settings = locate("kafka://bob:pw@host/?security_protocol=SASL_PLAINTEXT", environment)
    assert url.username == "bob"
    assert settings.security_protocol == "SASL_PLAINTEXT"


def test_a_folder_of_authorities(caplog: pytest.LogCaptureFixture) -> None:
    """KAFKA_SSL_CAPATH counts where no file is named; both are told of."""
    _, settings = locate("kafka://host", {"KAFKA_SSL_CAPATH": "/certs"})
    assert settings.ssl_cafile == "/certs"
    with caplog.at_level(logging.WARNING):
        _, settings = locate(
            "kafka://host", {"KAFKA_SSL_CAPATH": "/certs", "KAFKA_SSL_CAFILE": "/ca.pem"}
        )
    assert settings.ssl_cafile == "/ca.pem"
    assert "KAFKA_SSL_CAPATH is not used" in caplog.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kafka://host/?linger=1", "'linger' is unknown"),
        ("kafka://host/?confirm_timout=1", "did you mean confirm_timeout"),
        ("kafka://host/?confirm_timeout=soon", "confirm_timeout"),
        ("host:9092", "no scheme"),
        ("kafka://host/vhost", "virtual host has no meaning"),
    ],
)
def test_bad_urls(text: str, told: str) -> None:
    """Each is refused with what is wrong, before anything is connected."""
    with pytest.raises(ConfigurationError, match=told):
        locate(text, {})


def test_bad_values_of_the_environment_are_named() -> None:
    """A value of the environment that is wrong is told with its variable."""
    with pytest.raises(ConfigurationError, match="KAFKA_SECURITY_PROTOCOL"):
        locate("kafka://host", {"KAFKA_SECURITY_PROTOCOL": "TLS"})


def test_no_password_in_an_error() -> None:
    """A malformed URL is shown without its secrets."""
    with pytest.raises(InvalidTransportURL) as raised:
        locate("kafka://u:s3cret@host:99999", {})
    assert "s3cret" not in str(raised.value)
