# SPDX-License-Identifier: Apache-2.0
"""oslo.messaging's own listener. Arguments: URL, topic, pool. Ends on a line on stdin.

Prints ``got`` with a JSON list for each notification: the method, and its arguments.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import oslo_messaging  # type: ignore[import-untyped]
from oslo_config import cfg

url, topic, pool = sys.argv[1:]


class Endpoint:
    """Says what it gets."""

    def info(self, *arguments: Any) -> None:
        """Take one notification."""
        os.write(1, f"got {json.dumps(['info', *arguments])}\n".encode())


conf = cfg.ConfigOpts()
conf([])
transport = oslo_messaging.get_notification_transport(conf, url)
conf.set_override("kafka_consumer_timeout", 0.2, "oslo_messaging_kafka")
listener = oslo_messaging.get_notification_listener(
    transport,
    [oslo_messaging.Target(topic=topic)],
    [Endpoint()],
    executor="threading",
    pool=pool,
)
listener.start()
sys.stdin.readline()
listener.stop()
listener.wait()
