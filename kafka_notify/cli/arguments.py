# SPDX-License-Identifier: Apache-2.0
"""Arguments that several commands take, and the transport that they lead to."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import kafka_notify
from kafka_notify import options
from kafka_notify.errors import ConfigurationError


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add --url and --config-file."""
    group = parser.add_argument_group("where Kafka is (one of the two is needed)")
    group.add_argument(
        "--url",
        help="transport URL, kafka://[user:password@]host:9092[,host2:9092][/vhost][?option=value]"
        "; others on this machine can see it, so a password is better kept in a --config-file",
    )
    group.add_argument(
        "--config-file",
        action="append",
        metavar="FILE",
        help="configuration file as services have it: [oslo_messaging_notifications] "
        "transport_url or [DEFAULT] transport_url, and [oslo_messaging_kafka]; can be repeated, "
        "--url wins over it",
    )


@contextmanager
def transport_of(
    parsed: argparse.Namespace, **overrides: object
) -> Iterator[kafka_notify.NotificationTransport]:
    """Yield a transport to the Kafka that the arguments name, which has answered; close it.

    ``overrides`` are options that win over configuration and URL. Raises ConfigurationError,
    BrokerUnavailable or BrokerRefused. Blocks at most ``connect_timeout``.
    """
    if not (parsed.url or parsed.config_file):
        raise ConfigurationError(
            "where is Kafka? give --url kafka://host:9092, or a --config-file with a transport_url"
        )
    conf = options.make_conf(parsed.config_file) if parsed.config_file else None
    url = options.transport_url(conf, parsed.url)
    url.query.update({name: str(value) for name, value in overrides.items()})
    with kafka_notify.get_notification_transport(conf, url) as transport:
        transport.check_connection()
        yield transport


def topics_of(
    parsed_topics: Sequence[str] | None, transport: kafka_notify.NotificationTransport
) -> Sequence[str]:
    """Return the topics that arguments name, else those of the configuration."""
    return parsed_topics or transport.settings.notifications.topics


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """Return an argparse type for whole numbers in a range."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if value < minimum or (maximum is not None and value > maximum):
            bound = f"at least {minimum}" if maximum is None else f"{minimum} to {maximum}"
            raise argparse.ArgumentTypeError(f"{text} is out of range, it must be {bound}")
        return value

    return parse


def positive_number(text: str) -> float:
    """Parse a number above 0, as an argparse type."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is out of range, it must be above 0")
    return value


class NamedPattern(argparse.Action):
    """Collect NAME=RE arguments in a dict."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Add one pair, or end with an error that shows the form."""
        name, equals, pattern = str(values).partition("=")
        if not (name and equals):
            parser.error(f"argument {option_string}: {values!r} is not of the form NAME=RE")
        patterns: Mapping[str, str] = getattr(namespace, self.dest) or {}
        setattr(namespace, self.dest, {**patterns, name: pattern})
