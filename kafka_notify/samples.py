# SPDX-License-Identifier: Apache-2.0
"""The options of one use each, for the sample files in ``etc`` (``tox -e genconfig``).

What an option is stands in ``core.settings``, whose rows are in the order of their use; here is
only where a use begins there.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from kafka_notify import options
from kafka_notify.core.settings import OPTIONS, NotifierSettings

if TYPE_CHECKING:
    from oslo_config.cfg import Opt

    Sections = list[tuple[str | None, list[Opt]]]

_KAFKA = "oslo_messaging_kafka"
# The first row of each use.
_CONNECTION, _SENDING, _RECEIVING, _CLIENT = (
    "security_protocol",
    "delivery",
    "consumer_group",
    "client_options",
)
# Of the connection, what a cluster that checks its clients needs; what a sample says of them.
_SECURED = {
    "transport_url": "kafka://user:password@host:9093/",
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "ssl_cafile": "/etc/ssl/certs/ca-certificates.crt",
    "ssl_client_cert_file": "/etc/kafka-notify/client.pem",
    "ssl_client_key_file": "/etc/kafka-notify/client.key",
    "ssl_client_key_password": "password of that file",
}


def notifier_opts() -> Sections:
    """Return what a program that sends can set."""
    return _without(_between(_RECEIVING, _CLIENT))


def listener_opts() -> Sections:
    """Return what a program that listens can set."""
    notifiers = {field.name for field in fields(NotifierSettings)} - {"topics"}
    return _without(_between(_SENDING, _RECEIVING) | notifiers)


def secured_opts() -> Sections:
    """Return what a program needs for a cluster with TLS or a login, with examples of values."""
    from oslo_config import cfg

    url = cfg.StrOpt(
        "transport_url",
        secret=True,
        sample_default=_SECURED["transport_url"],
        help="Where Kafka is; user and password percent-encoded (a @ is %40).",
    )
    kafka = [opt for opt in dict(options.list_opts())[_KAFKA] if opt.name in _SECURED]
    for opt in kafka:
        opt.sample_default = _SECURED[opt.name]
    return [("oslo_messaging_notifications", [url]), (_KAFKA, kafka)]


def _between(first: str, end: str) -> set[str]:
    names = list(OPTIONS)
    return set(names[names.index(first) : names.index(end)])


def _without(unused: set[str]) -> Sections:
    return [
        (section, [opt for opt in opts if opt.name not in unused])
        for section, opts in options.list_opts()
    ]
