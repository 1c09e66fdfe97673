# SPDX-License-Identifier: Apache-2.0
"""Arguments that several commands take, and the transport that they lead to."""

from __future__ import annotations

import argparse
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import kafka_notify
from kafka_notify import options
from kafka_notify.core import url as core_url
from kafka_notify.core.settings import Settings
from kafka_notify.drivers.base import AdminClient
from kafka_notify.errors import (
    BrokerError,
    BrokerUnavailable,
    ConfigurationError,
    InvalidTransportURL,
)

# Drivers of clusters that no other process knows the address of.
_IN_PROCESS = frozenset(("embedded", "memory"))
_LEAST_START_S = 1.0  # the least that the option start_timeout takes


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
    parsed: argparse.Namespace, *, deadline: float = math.inf, **overrides: Any
) -> Iterator[kafka_notify.NotificationTransport]:
    """Yield a transport to the Kafka that the arguments name, which has answered; close it.

    ``overrides`` are options that win over configuration and URL, whose own values are checked
    all the same. No later than ``deadline`` on the monotonic clock Kafka has to answer; what is
    left of the time then bounds the start of a listener.

    Raises ConfigurationError, BrokerUnavailable or BrokerRefused. Blocks at most
    ``connect_timeout``.
    """
    conf, url, settings = _destination(parsed)
    settings = replace(settings, **overrides)
    with kafka_notify.NotificationTransport(url, settings, conf=conf) as asking:
        await_answer(asking, deadline=deadline)
    settings = _bounded(settings, deadline - time.monotonic())
    with kafka_notify.NotificationTransport(url, settings, conf=conf) as transport:
        yield transport


def _destination(parsed: argparse.Namespace) -> tuple[Any, core_url.TransportURL, Settings]:
    """Return conf, URL and settings of the arguments; raise ConfigurationError."""
    if not (parsed.url or parsed.config_file):
        raise ConfigurationError(
            "where is Kafka? give --url kafka://host:9092, or a --config-file with a transport_url"
        )
    conf = options.make_conf(parsed.config_file) if parsed.config_file else None
    url, settings = options.resolve(conf, parsed.url)
    refuse_in_process(url)
    return conf, url, settings


def refuse_in_process(url: core_url.TransportURL) -> None:
    """Raise InvalidTransportURL for the URL of a cluster that no other process can reach."""
    if url.transport in _IN_PROCESS:
        raise InvalidTransportURL(
            url.redacted(),
            f"what {url.transport}:// names lives and ends with the process that opens it, so "
            "nobody else could reach it here; give the kafka:// URL of a Kafka ('kafka-notify "
            "broker' runs one on this machine), or see both sides in one process with "
            "'kafka-notify demo'",
        )


def _bounded(settings: Settings, left_s: float) -> Settings:
    """Return settings with which a listener starts in what is left of the time."""
    # Rounded up: the bound is shown, and whoever reaches it has reached the deadline.
    left_s = max(_LEAST_START_S, round(left_s + 0.05, 1))
    return replace(
        settings,
        connect_timeout=min(settings.connect_timeout, left_s),
        start_timeout=min(settings.start_timeout, left_s),
    )


def await_answer(
    transport: kafka_notify.NotificationTransport, *, deadline: float = math.inf
) -> None:
    """Return when Kafka has answered; raise one error with address, cause and what to check.

    What the client says meanwhile is the cause then, instead of so many lines in the log. Blocks
    at most ``connect_timeout``. Raises BrokerUnavailable or BrokerRefused.
    """
    began = time.monotonic()
    bound_s, bound = min(
        (transport.settings.connect_timeout, "connect_timeout"),
        (deadline - began, "--timeout"),
    )
    heard: list[BrokerError] = []
    admin = transport.driver.new_admin(on_problem=heard.append)
    try:
        _ask(admin, bound_s)
    except BrokerUnavailable as error:
        tried_s = time.monotonic() - began
        raise BrokerUnavailable(
            f"Kafka at {transport.address} did not answer (tried for {tried_s:.1f} s, bounded by "
            f"{bound}): check that it runs there, and that the transport URL has the host, the "
            "port and the security_protocol that it listens with; the client says: "
            f"{(heard or [error])[0]}",
            code=error.code,
            retriable=error.retriable,
        ) from error
    finally:
        admin.close()
    for problem in heard:
        transport.report_problem(problem)


def _ask(admin: AdminClient, timeout_s: float) -> None:
    """Ask in a thread of its own: the client's call would hold up signals until it returns."""
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            admin.partition_counts((), timeout_s)
        except Exception as error:  # noqa: BLE001 - raised below
            answers.put(error)
        else:
            answers.put(None)

    threading.Thread(target=ask, name="kafka-notify-ask", daemon=True).start()
    error = answers.get()
    if error is not None:
        raise error


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
