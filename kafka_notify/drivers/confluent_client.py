# SPDX-License-Identifier: Apache-2.0
"""Making and forgetting a confluent_kafka client of any kind."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaException

from kafka_notify.drivers.confluent_config import Config
from kafka_notify.drivers.confluent_errors import Problems
from kafka_notify.drivers.confluent_fork import connects
from kafka_notify.drivers.confluent_health import STATISTICS_INTERVAL_S, Health
from kafka_notify.drivers.confluent_topic_ids import DEBUG_CONTEXT, TopicIds
from kafka_notify.errors import ConfigurationError

LOG = logging.getLogger("kafka_notify.librdkafka")
"""Where librdkafka's own log lines go, instead of to stderr."""

_TOLD_OTHERWISE = frozenset(("FAIL", "ERROR", "FATAL", "GETPID"))

T = TypeVar("T")


def make(
    kind: Callable[[dict[str, Any]], T],
    config: Config,
    *,
    problems: Problems,
    health: Health | None = None,
    topic_ids: TopicIds | None = None,
    on_delivery: Callable[..., None] | None = None,
) -> T:
    """Return a new client; connects in the background.

    ``health`` watches its statistics: for clients that live long. ``topic_ids`` reads its log.
    ``on_delivery`` is told of a producer's records that have no callback of their own.

    Raises ConfigurationError with the name of the option that librdkafka does not know, or whose
    value it refuses.
    """
    watch: dict[str, Any] = {}
    if health is not None:
        watch = {
            "statistics.interval.ms": round(STATISTICS_INTERVAL_S * 1000),
            "stats_cb": health.heard,
        }
    if on_delivery is not None:
        watch["on_delivery"] = on_delivery
    asked = str(config.get("debug", ""))
    log = _ClientLog(debug=bool(asked), topic_ids=topic_ids)
    if topic_ids is not None:
        config = {**config, "debug": ",".join(filter(None, (asked, DEBUG_CONTEXT)))}
    connects(problems.connected_or_failed)
    try:
        return kind({**watch, **config, "error_cb": problems.heard, "logger": log})
    except (KafkaException, TypeError, ValueError) as error:
        text = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise ConfigurationError(
            f"librdkafka refuses its configuration: {text} (see the option client_options, and "
            "the option of ours that feeds this key)"
        ) from error


class _ClientLog:
    """What the client takes for a logger: passes its lines on, at levels that fit a library.

    A lost connection or a fatal error comes as an error callback, too, and is told once there; a
    fresh cluster makes every first idempotent producer ask again (GETPID); that a key is
    experimental is for us to know.
    """

    def __init__(self, *, debug: bool, topic_ids: TopicIds | None) -> None:
        """``debug`` tells that the user has asked for lines of debugging; otherwise we have."""
        self._debug = debug
        self._topic_ids = topic_ids

    def log(self, level: int, pattern: str, facility: str, name: str, text: str) -> None:
        """Take one line; called inside the client's ``poll``."""
        if self._topic_ids is not None:
            self._topic_ids.heard(text)
        if level <= logging.DEBUG and not self._debug:
            return
        if facility in _TOLD_OTHERWISE or (facility == "CONFWARN" and "gapless" in text):
            level = logging.DEBUG
        LOG.log(min(level, logging.WARNING), pattern, facility, name, text)


def leak(client: object | None) -> None:
    """Keep ``client`` from ever being destroyed, in a child of fork.

    librdkafka's threads do not exist in the child; its destructor would wait for them for ever,
    or send the parent's goodbye over the parent's connections. So one reference is leaked on
    purpose: neither the garbage collector nor the interpreter's exit reaches the destructor.
    """
    if client is not None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))
