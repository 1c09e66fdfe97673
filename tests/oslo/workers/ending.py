# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402 - eventlet has to come first
"""A service that listens, and ends without a word to its listener.

Arguments: URL, topic, pool, executor (``eventlet`` patches the process). Prints ``up``, then ``got
PAYLOAD`` for each call of its slow endpoint; a line on stdin ends the main thread.
"""

from __future__ import annotations

import sys

url, topic, pool, executor = sys.argv[1:]
if executor == "eventlet":
    import eventlet

    eventlet.monkey_patch()

import threading
from typing import Any

import oslo_messaging  # type: ignore[import-untyped]
from oslo_config import cfg


class Endpoint:
    """Takes its time."""

    def info(self, _c: Any, _publisher: Any, _event: Any, payload: Any, _metadata: Any) -> None:
        """Take one notification."""
        threading.Event().wait(0.02)
        print("got", payload, flush=True)


conf = cfg.ConfigOpts()
conf([])
transport = oslo_messaging.get_notification_transport(conf, url)
listener = oslo_messaging.get_notification_listener(
    transport, [oslo_messaging.Target(topic=topic)], [Endpoint()], executor=executor, pool=pool
)
listener.start()
print("up", flush=True)
if executor == "eventlet":
    from eventlet import tpool

    tpool.execute(sys.stdin.readline)
else:
    sys.stdin.readline()
