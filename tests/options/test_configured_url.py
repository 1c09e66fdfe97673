# SPDX-License-Identifier: Apache-2.0
"""Which transport URL is taken, and what happens when there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from oslo_config.cfg import ConfigOpts

from kafka_notify import options
from kafka_notify.core.url import TransportHost, parse_url
from kafka_notify.core.url import TransportURL as CoreURL
from kafka_notify.errors import ConfigurationError, InvalidTransportURL

ConfOf = Callable[[str], ConfigOpts]

BOTH = """
[DEFAULT]
transport_url = rabbit://rpc:9/
[oslo_messaging_notifications]
transport_url = kafka://notifications:9092/
"""
DEFAULT_ONLY = "[DEFAULT]\ntransport_url = kafka://default:9092/\n"


def test_explicit_url_wins(conf_of: ConfOf) -> None:
    """A URL that the program gives wins over both sections."""
    url, _ = options.resolve(conf_of(BOTH), "kafka://explicit:9092/")

    assert str(url) == "kafka://explicit:9092/"


def test_notifications_win_over_default(conf_of: ConfOf) -> None:
    """The section of the notifications wins over [DEFAULT]."""
    url, _ = options.resolve(conf_of(BOTH), None)

    assert str(url) == "kafka://notifications:9092/"


@pytest.mark.parametrize("notifications", ["", "transport_url =\n"])
def test_default_stands_in(conf_of: ConfOf, notifications: str) -> None:
    """[DEFAULT] is asked when the section of the notifications has no URL, or an empty one."""
    conf = conf_of(f"{DEFAULT_ONLY}[oslo_messaging_notifications]\n{notifications}")

    assert options.configured_url(conf) == "kafka://default:9092/"


@pytest.mark.parametrize("text", ["", "[DEFAULT]\ntransport_url =\n"])
def test_no_url_anywhere(conf_of: ConfOf, text: str) -> None:
    """Without a URL there is an error that says where to set it, never upstream's default."""
    with pytest.raises(ConfigurationError, match="a transport URL is nowhere") as caught:
        options.resolve(conf_of(text), None)

    for place in ("[oslo_messaging_notifications] transport_url", "[DEFAULT]", "url="):
        assert place in str(caught.value)


def test_no_conf_and_no_url() -> None:
    """Without a conf the URL is required."""
    with pytest.raises(ConfigurationError, match="a transport URL is nowhere"):
        options.resolve(None, None)


def test_conf_that_was_never_called() -> None:
    """A conf that has parsed nothing yet has no URL, but gives defaults beside an explicit one."""
    with pytest.raises(ConfigurationError, match="a transport URL is nowhere"):
        options.configured_url(ConfigOpts())

    _, settings = options.resolve(ConfigOpts(), "kafka://h:9092/")
    assert settings == options.load(None, CoreURL())


def test_conf_called_later(conf_of: ConfOf) -> None:
    """Options registered before the conf is called are read from its files afterwards."""
    conf = ConfigOpts()
    options.register(conf)
    files = conf_of(DEFAULT_ONLY).default_config_files

    conf([], project="service", default_config_files=files, default_config_dirs=[])

    assert options.configured_url(conf) == "kafka://default:9092/"


def test_url_set_by_the_program() -> None:
    """An override, or a default that the program sets, counts as set."""
    conf = ConfigOpts()
    options.register(conf)

    conf.set_default("transport_url", "kafka://a/")
    assert options.configured_url(conf) == "kafka://a/"

    conf.set_override("transport_url", "kafka://b/", group="oslo_messaging_notifications")
    assert options.configured_url(conf) == "kafka://b/"


def test_url_from_the_environment(conf_of: ConfOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """oslo.config's environment variables are a place to set the URL, too."""
    monkeypatch.setenv("OS_DEFAULT__TRANSPORT_URL", "kafka://env/")

    assert options.configured_url(conf_of("")) == "kafka://env/"


def test_malformed_url_hides_the_password(conf_of: ConfOf) -> None:
    """What is wrong with a configured URL is said without its password."""
    conf = conf_of("[DEFAULT]\ntransport_url = kafka://user:s3cret@host:port/\n")

    with pytest.raises(InvalidTransportURL, match="port") as caught:
        options.resolve(conf, None)

    assert "s3cret" not in str(caught.value)


class TestTransportURL:
    """The public class: upstream's constructor and parse()."""

    def test_parse_without_url_asks_the_conf(self, conf_of: ConfOf) -> None:
        """parse(conf) takes the configured URL and keeps the conf."""
        conf = conf_of(DEFAULT_ONLY)

        url = options.TransportURL.parse(conf)

        assert url.conf is conf
        assert url.hosts == [TransportHost("default", 9092)]

    def test_parse_needs_no_conf(self) -> None:
        """A text is enough."""
        url = options.TransportURL.parse(url="kafka://u:p@h:1/v?delivery=confirm")

        assert url.conf is None
        assert (url.transport, url.virtual_host) == ("kafka", "v")
        assert url.query == {"delivery": "confirm"}

    def test_parse_takes_a_parsed_url(self) -> None:
        """A URL that is parsed already comes back: the same object, or of this class."""
        url = options.TransportURL.parse(None, "kafka://h/")
        core = parse_url("kafka://h/?delivery=confirm")

        assert options.TransportURL.parse(None, url) is url
        wrapped = options.TransportURL.parse(None, core)
        assert type(wrapped) is options.TransportURL
        assert str(wrapped) == str(core)

    def test_constructor_is_upstreams(self) -> None:
        """The arguments are upstream's, by position and by keyword, all of them optional."""
        hosts = [TransportHost(hostname="h", port=1, username="u", password="p")]
        conf = ConfigOpts()

        url = options.TransportURL(conf, "kafka", "v", hosts, {"a": "b"})

        assert url.conf is conf
        assert str(url) == "kafka://u:p@h:1/v?a=b"
        assert options.TransportURL(conf, transport="kafka").hosts == []
        assert options.TransportURL().query == {}

    def test_equality_is_upstreams(self) -> None:
        """Equal in transport, virtual host and hosts is equal, whatever the query and class."""
        text = "kafka://u:p@h:1/v"
        url = options.TransportURL.parse(None, text)

        assert url == options.TransportURL.parse(ConfigOpts(), f"{text}?delivery=confirm")
        assert url == parse_url(text)
        assert parse_url(text) == url
        assert hash(url) == hash(parse_url(text))
        assert url != options.TransportURL.parse(None, "kafka://u:other@h:1/v")
        assert url != text

    def test_repr_hides_the_password(self) -> None:
        """A URL in a log shows no password."""
        url = options.TransportURL.parse(None, "kafka://user:s3cret@h/")

        assert "s3cret" not in repr(url)
        assert "user" in repr(url)
