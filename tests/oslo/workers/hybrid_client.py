# SPDX-License-Identifier: Apache-2.0
"""Calls a service from several threads, and notifies it between the calls.

Arguments: configuration file, topic of the service's RPC, topic to notify, calls, threads. Prints
``answered N`` for each right answer.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import oslo_messaging  # type: ignore[import-untyped]
from oslo_config import cfg

file, rpc_topic, notified_topic = sys.argv[1:4]
calls, threads = map(int, sys.argv[4:])
conf = cfg.CONF  # RPC looks up some of its options nowhere else
conf([], default_config_files=[file])
notifications = oslo_messaging.get_notification_transport(conf)
rpc = oslo_messaging.get_rpc_transport(conf)
client = oslo_messaging.get_rpc_client(rpc, oslo_messaging.Target(topic=rpc_topic), timeout=30)
notifier = oslo_messaging.Notifier(
    notifications, "client", driver="messagingv2", topics=[notified_topic]
)


def work(number: int) -> None:
    """Make one call and send one notification."""
    notifier.info({}, "call.begun", number)
    if client.call({}, "double", number=number) == 2 * number:
        os.write(1, f"answered {number}\n".encode())


with ThreadPoolExecutor(threads) as pool:
    list(pool.map(work, range(calls)))
notifications.cleanup()
rpc.cleanup()
