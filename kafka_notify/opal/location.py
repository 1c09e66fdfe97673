# SPDX-License-Identifier: Apache-2.0
"""Where the backbone is: a URL, and what the stock broadcaster reads from the environment."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from kafka_notify.core.settings import Settings, parse_query
from kafka_notify.core.url import TransportURL, parse_url
from kafka_notify.errors import ConfigurationError, InvalidTransportURL

LOG = logging.getLogger("kafka_notify.opal")

OURS: dict[str, Any] = {
    # What is published while Kafka is away waits in the producer, for a day: nobody else keeps it.
    "confirm_timeout": 86_400.0,
    "delivery_timeout": 86_400.0,
    # Every server reads everything, so each would write a dead letter of its own.
    "dead_letter": False,
    # Whoever stops a server waits 10 s to 30 s before it kills it.
    "close_timeout": 8.0,
}
"""Options whose defaults are others here; the URL wins over them."""

OF_REPORT: dict[str, Any] = {
    # Nobody waits for a single event, so some go together: after as long as librdkafka has by
    # default, and Kafka 4's own client (KIP-1030). A lone event takes 8.6 ms to a client: 5.5 with
    # 2 ms here, but one publisher's then cost 1.28 times the processor time; OPAL's own takes 9.1.
    "producer_batch_timeout": 0.005,
}
"""The same, with delivery=report."""

ENVIRONMENT: dict[str, str] = {
    "KAFKA_SECURITY_PROTOCOL": "security_protocol",
    "KAFKA_SASL_MECHANISM": "sasl_mechanism",
    "KAFKA_SSL_CAFILE": "ssl_cafile",
    "KAFKA_SSL_CERTFILE": "ssl_client_cert_file",
    "KAFKA_SSL_KEYFILE": "ssl_client_key_file",
    "KAFKA_SSL_KEY_PASSWORD": "ssl_client_key_password",
}
"""The stock broadcaster's variables (permit-broadcaster 0.2), and our options for them."""

_USER, _PASSWORD = "KAFKA_PLAIN_USERNAME", "KAFKA_PLAIN_PASSWORD"
_CA_FOLDER = "KAFKA_SSL_CAPATH"


def locate(
    text: str, environment: Mapping[str, str], *, delivery: str = "confirm"
) -> tuple[TransportURL, Settings]:
    """Return the backbone's URL and settings; the URL wins over the environment.

    ``delivery`` is what the option of that name is where the URL does not say.
    Raises ConfigurationError: a malformed URL, an unknown option, a wrong value, a virtual host.
    """
    url = parse_url(text)
    if url.virtual_host:
        raise InvalidTransportURL(
            url.redacted(),
            "a virtual host has no meaning here: the topic is the channel "
            "(OPAL_BROADCAST_CHANNEL_NAME), as it is; end the URL after the hosts",
        )
    given = parse_query(url.query)
    given.setdefault("delivery", delivery)
    ours = {**OURS, **OF_REPORT} if given["delivery"] == "report" else OURS
    found = _from_environment(environment)
    _log_in(url, environment)
    try:
        return url, Settings(**{**ours, **found, **given})
    except ConfigurationError as error:
        names = [name for name, option in ENVIRONMENT.items() if option in found]
        if not names:
            raise
        raise ConfigurationError(f"{error} (of the environment: {', '.join(names)})") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        option: environment[name] for name, option in ENVIRONMENT.items() if environment.get(name)
    }
    folder = environment.get(_CA_FOLDER)
    if folder and "ssl_cafile" in found:
        LOG.warning(
            "%s is not used: KAFKA_SSL_CAFILE is set, too, and librdkafka takes one of them",
            _CA_FOLDER,
        )
    elif folder:
        found["ssl_cafile"] = folder  # librdkafka takes a folder as well
    return found


def _log_in(url: TransportURL, environment: Mapping[str, str]) -> None:
    """Put the environment's user into a URL that has none."""
    user = environment.get(_USER)
    if user and not url.username and url.hosts:
        url.hosts[0].username = user
        url.hosts[0].password = environment.get(_PASSWORD) or ""
