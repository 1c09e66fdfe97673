# SPDX-License-Identifier: Apache-2.0
"""The configurations of the message bus, and the URLs that services have to get in each."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

# Each is host, port, user, password.
Hosts = list[tuple[str, int, str | None, str | None]]
# Driver, hosts, vhost, options.
Parsed = tuple[str, Hosts, str, dict[str, str]]

ELSEWHERE = "198.51.100.10"  # an address for documentation: nobody is there
AWKWARD = "p@ss:w/rd %#?\\\"'*[]&+"
OWN_RABBIT: Hosts = [("127.0.0.1", 5672, "stackrabbit", "rabbitpw")]


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What local.conf says, and what follows for the services.

    Attributes:
        rpc: The hosts of RPC.
        notifications: From the port of the broker, the URL of notifications.
        broker: Whether the plug-in runs one.
    """

    rpc: Hosts = field(default_factory=lambda: OWN_RABBIT)
    notifications: Callable[[int], Parsed]
    broker: bool = True
    local_conf: dict[str, str] = field(default_factory=dict)


def urls_read_by_oslo_messaging(url: str) -> Parsed:
    """Read a URL as services do."""
    from oslo_config import cfg

    with warnings.catch_warnings():
        # At its import alone it tells of eventlet's end, which is upstream's business.
        warnings.simplefilter("ignore")
        import oslo_messaging

    found = oslo_messaging.TransportURL.parse(cfg.ConfigOpts(), url)
    hosts = [(one.hostname, one.port, one.username, one.password) for one in found.hosts]
    return found.transport, hosts, found.virtual_host, found.query


CONFIGURATIONS = {
    "default": Configuration(
        notifications=lambda port: ("kafka-notify", [("127.0.0.1", port, None, None)], "", {}),
    ),
    "upstream-driver": Configuration(
        notifications=lambda port: ("kafka", [("127.0.0.1", port, None, None)], "", {}),
        local_conf={"NOTIFY_DRIVER": "kafka"},
    ),
    "both-on-rabbit": Configuration(
        notifications=lambda _: ("rabbit", OWN_RABBIT, "notify", {}),
        broker=False,
        local_conf={"NOTIFY_SERVICE": "rabbit", "NOTIFY_VHOST": "notify"},
    ),
    "separate-hosts": Configuration(
        rpc=[(ELSEWHERE, 5673, "rpc", AWKWARD)],
        notifications=lambda port: (
            "kafka-notify", [("127.0.0.1", port, None, None)], "cloud1", {}
        ),
        local_conf={
            "commands": "disable_service rabbit",
            "RPC_HOST": ELSEWHERE,
            "RPC_PORT": "5673",
            "RPC_USERNAME": "rpc",
            "RPC_PASSWORD": AWKWARD,
            "NOTIFY_HOST": "127.0.0.1",
            "NOTIFY_VHOST": "cloud1",
        },
    ),
    "ipv6": Configuration(
        rpc=[("::1", 5672, "stackrabbit", "rabbitpw")],
        notifications=lambda port: ("kafka-notify", [("::1", port, None, None)], "", {}),
        local_conf={"SERVICE_IP_VERSION": "6", "HOST_IPV6": "::1"},
    ),
    "credentials": Configuration(
        notifications=lambda port: (
            "kafka-notify",
            [("127.0.0.1", port, "nova@home", AWKWARD)],
            "",
            {"security_protocol": "SASL_PLAINTEXT"},
        ),
        local_conf={"NOTIFY_USERNAME": "nova@home", "NOTIFY_PASSWORD": AWKWARD},
    ),
}  # fmt: skip
