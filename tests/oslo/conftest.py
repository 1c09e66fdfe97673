# SPDX-License-Identifier: Apache-2.0
"""What the tests of the oslo.messaging plug-in share; they know its URL, and nothing of it beside.

Without oslo.messaging they are skipped.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from tests.conftest import Kafka
from tests.oslo.bench import Bench
from tests.oslo.rabbit import Rabbit, RabbitUnavailable
from tests.scenarios.conftest import bare, brisk, brisk_cluster, start

with warnings.catch_warnings():
    # At its import alone it tells of eventlet's end, which is upstream's business.
    warnings.simplefilter("ignore")
    with suppress(ModuleNotFoundError):
        import oslo_messaging  # type: ignore[import-untyped]
        import oslo_messaging.notify.middleware

__all__ = ["bare", "brisk", "brisk_cluster", "start"]

SCHEME = "kafka-notify"
UPSTREAM = "kafka"


def url_of(kafka: Kafka, scheme: str = SCHEME, vhost: str = "", **query: object) -> str:
    """Return a transport URL for a Kafka; the listeners of tests look around more often."""
    brisk = {"kafka_consumer_timeout": 0.2} if scheme == SCHEME else {}
    _, _, rest = kafka.url(vhost, **{**brisk, **query}).partition("://")
    return f"{scheme}://{rest}"


@pytest.fixture(scope="session")
def rabbit() -> Iterator[Rabbit]:
    """Yield a RabbitMQ of our own; skip where there is none and we may not install it."""
    try:
        with Rabbit() as running:
            yield running
    except RabbitUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def bench(unique: str) -> Iterator[Bench]:
    """Yield a new bench."""
    made = Bench(unique)
    yield made
    made.close()


@pytest.fixture
def configure(tmp_path: Path) -> Callable[[str], cfg.ConfigOpts]:
    """Return a function that returns the conf of a service whose configuration file this is."""

    def conf(text: str = "") -> cfg.ConfigOpts:
        file = tmp_path / "service.conf"
        file.write_text(text, encoding="utf-8")
        made = cfg.ConfigOpts()
        made([], project="service", default_config_files=[str(file)], default_config_dirs=[])
        return made

    return conf


@pytest.fixture
def global_conf(tmp_path: Path) -> Iterator[Callable[[str], cfg.ConfigOpts]]:
    """Yield a function like that of ``configure`` for the conf that all of a process share.

    Upstream's RPC, log handlers and middleware read that one.
    """

    def configure(text: str = "") -> cfg.ConfigOpts:
        file = tmp_path / "global.conf"
        file.write_text(text, encoding="utf-8")
        cfg.CONF([], project="service", default_config_files=[str(file)], default_config_dirs=[])
        return cfg.CONF

    yield configure
    cfg.CONF.reset()


@pytest.fixture
def connect(configure: Callable[[str], cfg.ConfigOpts]) -> Iterator[Callable[..., Any]]:
    """Yield a function that returns the transport of a URL, or of a conf; all are cleaned up."""
    with ExitStack() as transports:

        def transport(url: str | None = None, conf: cfg.ConfigOpts | None = None) -> Any:
            made = oslo_messaging.get_notification_transport(conf or configure(""), url)
            transports.callback(made.cleanup)
            return made

        yield transport


@pytest.fixture
def listen() -> Iterator[Callable[..., Any]]:
    """Yield a function that starts a listener in the pool named as its first topic, or as told.

    All of them are stopped before their transports go.
    """
    with ExitStack() as servers:

        def started(transport: Any, topics: str | list[str], *endpoints: Any, **how: Any) -> Any:
            names = [topics] if isinstance(topics, str) else topics
            make = oslo_messaging.get_notification_listener
            if "batch_size" in how:
                make = oslo_messaging.get_batch_notification_listener
            targets = [oslo_messaging.Target(topic=name) for name in names]
            server = make(transport, targets, list(endpoints), **{"pool": names[0], **how})
            server.start()
            servers.callback(server.wait)
            servers.callback(server.stop)
            return server

        yield started
