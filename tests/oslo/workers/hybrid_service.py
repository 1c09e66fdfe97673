# SPDX-License-Identifier: Apache-2.0
"""A service that takes calls over one bus and notifies over the other.

Arguments: configuration file, topic of its RPC, topic that it notifies, topic that it listens on.
Prints ``ready``, ``heard N`` for each notification, ``served N`` for each call. Ends on a line on
stdin.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import oslo_messaging  # type: ignore[import-untyped]
from oslo_config import cfg

file, rpc_topic, notified_topic, heard_topic = sys.argv[1:]
conf = cfg.CONF  # RPC looks up some of its options nowhere else
conf([], default_config_files=[file])


def say(text: str) -> None:
    """Print a line at once and whole."""
    os.write(1, f"{text}\n".encode())


class Service:
    """Notifies of each call before it answers."""

    def __init__(self) -> None:
        self.notifications = oslo_messaging.get_notification_transport(conf)
        self.calls = oslo_messaging.get_rpc_transport(conf)
        self.notifier = oslo_messaging.Notifier(
            self.notifications, "service", driver="messagingv2", topics=[notified_topic]
        )

    def double(self, _context: Any, number: int) -> int:
        """Serve one call."""
        self.notifier.info({}, "call.served", number)
        say(f"served {number}")
        return 2 * number

    def info(self, _c: Any, _publisher: Any, _event: Any, payload: Any, _metadata: Any) -> None:
        """Take one notification."""
        say(f"heard {payload}")


service = Service()
server = oslo_messaging.get_rpc_server(
    service.calls, oslo_messaging.Target(topic=rpc_topic, server="one"), [service]
)
listener = oslo_messaging.get_notification_listener(
    service.notifications, [oslo_messaging.Target(topic=heard_topic)], [service], pool=heard_topic
)
listener.start()
server.start()
say("ready")
sys.stdin.readline()
for running in (server, listener):
    running.stop()
    running.wait()
service.calls.cleanup()
service.notifications.cleanup()
