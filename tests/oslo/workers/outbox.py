# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402 - eventlet has to come first
"""A service that notifies, and is killed: what it sent is in the outbox that its URL asks for.

Arguments: ``threading`` or ``eventlet``, URL, topic, the first number, how many. Sends the numbers
and prints what ``Ticker.counted`` does (``send``; without eventlet ``send 0 0``), then obeys lines
on stdin: ``end`` cleans up and ends, anything else ends at once as ``kill -9`` does.
"""

from __future__ import annotations

import sys

executor, url, topic = sys.argv[1:4]
first, count = map(int, sys.argv[4:6])
if executor == "eventlet":
    import eventlet
    import eventlet.tpool

    eventlet.monkey_patch()

import logging
import os
import signal

import oslo_messaging
from oslo_config import cfg

logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)


def send(notifier: oslo_messaging.Notifier) -> None:
    """Send the numbers."""
    for number in range(first, first + count):
        notifier.info({}, "event", number)


def main() -> None:
    """Send, and obey."""
    conf = cfg.ConfigOpts()
    conf([])
    transport = oslo_messaging.get_notification_transport(conf, url)
    notifier = oslo_messaging.Notifier(transport, "p", driver="messagingv2", topics=[topic])
    if executor == "eventlet":
        from ticker import Ticker

        with Ticker().counted("send"):
            send(notifier)
        # Not here, where the hub would stand still, and what our threads log would not be written.
        order = eventlet.tpool.execute(sys.stdin.readline)
    else:
        send(notifier)
        print("send 0 0", flush=True)
        order = sys.stdin.readline()
    if order != "end\n":
        os.kill(os.getpid(), signal.SIGKILL)
    transport.cleanup()


main()
