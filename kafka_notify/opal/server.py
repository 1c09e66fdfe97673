# SPDX-License-Identifier: Apache-2.0
"""OPAL's own server on our backbone: ``kafka_notify.opal:app``, without a patched file.

OPAL offers no way to choose its broadcaster's backend, but reads an attribute lazily. That is
used here, and nowhere else, and guarded: with a version that is not known, or without the
attribute, the server does not start.
"""

from __future__ import annotations

import logging
import os
from importlib import metadata
from typing import Any

from kafka_notify.errors import ConfigurationError
from kafka_notify.opal.backbone import close_all
from kafka_notify.opal.broadcast import KafkaBroadcast, servers_backbone

LOG = logging.getLogger("kafka_notify.opal")

TESTED = ("0.9.9",)
"""The versions of opal-server that the tests run with."""

UNTESTED_VARIABLE = "KAFKA_NOTIFY_OPAL_UNTESTED"
_URI = "OPAL_BROADCAST_URI"
_READ_S = 5.0  # how long a server waits for its topic to be read before it serves
_SCHEMES = ("kafka", "kafka-notify")


def check_version() -> None:
    """Raise ConfigurationError unless a known opal-server is installed, or the user insists."""
    tested = ", ".join(TESTED)
    try:
        found = metadata.version("opal-server")
    except metadata.PackageNotFoundError as error:
        raise ConfigurationError(
            f"kafka_notify.opal:app needs opal-server, which is not installed: pip install "
            f"'opal-server=={TESTED[-1]}' (Python 3.9 to 3.12); for a server without OPAL see "
            "kafka-notify relay"
        ) from error
    if found not in TESTED and os.environ.get(UNTESTED_VARIABLE) != found:
        raise ConfigurationError(
            f"opal-server {found} is not known to this kafka-notify, which is tested with "
            f"{tested}: install one of these, or set {UNTESTED_VARIABLE}={found} to try it"
        )


def use_kafka(server: Any) -> None:
    """Have an ``OpalServer`` broadcast over our backbone.

    Raises ConfigurationError when it has no broadcaster, or is built otherwise than those known.
    """
    broadcaster = getattr(getattr(server, "pubsub", None), "broadcaster", None)
    if broadcaster is None:
        raise ConfigurationError(
            f"this OPAL server has no broadcaster: set {_URI}=kafka://host:9092"
        )
    for name in ("_broadcast_type", "_broadcast_url", "_channel"):
        if not hasattr(broadcaster, name):
            raise ConfigurationError(
                f"fastapi_websocket_pubsub's broadcaster has no {name} any more: this version is "
                f"not known here; kafka-notify is tested with opal-server {', '.join(TESTED)}"
            )
    uri = str(broadcaster._broadcast_url)
    if uri.partition("://")[0] not in _SCHEMES:
        raise ConfigurationError(
            f"{_URI} begins with {uri.partition('://')[0]}://, and this app is for kafka://; run "
            "opal_server.main:app for other backbones"
        )
    KafkaBroadcast(uri)  # raises now what would be wrong at the first event
    broadcaster._broadcast_type = KafkaBroadcast


def _live_with(server: Any) -> None:
    """Read from the app's start on, and close before OPAL waits for what it has published."""
    router: Any = getattr(server.app, "router", None)
    for name in ("on_startup", "on_shutdown"):
        if not isinstance(getattr(router, name, None), list):
            raise ConfigurationError(
                f"OPAL's app has no router.{name}: this version of starlette is not known here"
            )
    broadcaster = server.pubsub.broadcaster

    async def read() -> None:
        backbone = servers_backbone(broadcaster._broadcast_url)
        channel = await backbone.pin(broadcaster._channel)
        # A client that is let in before that could miss what is published meanwhile.
        if not await channel.await_ready(_READ_S):
            LOG.warning(
                "%s is not read yet, after %g s: clients are served, and get what is published "
                "from when it is (Kafka at %s)",
                channel.topic,
                _READ_S,
                backbone.transport.address,
            )

    router.on_startup.insert(0, read)
    router.on_shutdown.insert(0, close_all)


def create_app(**arguments: Any) -> Any:
    """Return OPAL's app on our backbone; ``arguments`` are those of ``OpalServer``.

    Raises ConfigurationError.
    """
    check_version()
    from opal_server.server import OpalServer

    server = OpalServer(**arguments)
    use_kafka(server)
    _live_with(server)
    return server.app
