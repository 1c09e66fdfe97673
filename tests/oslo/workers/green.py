# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402 - eventlet has to come first
"""A service patched by eventlet: what another green thread can do while we send and poll.

Arguments: a URL, and one where nobody listens. Prints what ``Ticker.counted`` does for each thing
done, and ``got N`` for what was received in order.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import logging
import sys
from typing import Any

import oslo_messaging
from oslo_config import cfg
from ticker import Ticker

url, nowhere = sys.argv[1:]
SENT = 300
LOST = {
    "confirm": "delivery=confirm&confirm_timeout=2",
    "report": "delivery=report&close_timeout=2",  # which cleanup() waits for
}
logging.basicConfig(level=logging.DEBUG)

ticker = Ticker()


class Endpoint:
    """Notes what came; one that is slow must not hold up others."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def info(self, _c: Any, _publisher: Any, _event: Any, payload: Any, _metadata: Any) -> None:
        """Take one notification."""
        eventlet.sleep(0.001)
        self.got.append(payload)


def main() -> None:
    """Listen, send, idle, send to nobody, with and without waiting for an answer, stop."""
    conf = cfg.ConfigOpts()
    conf([])
    endpoint = Endpoint()
    transport = oslo_messaging.get_notification_transport(conf, url=url)
    listener = oslo_messaging.get_notification_listener(
        transport, [oslo_messaging.Target(topic="green")], [endpoint], executor="eventlet"
    )
    with ticker.counted("start"):
        listener.start()
    notifier = oslo_messaging.Notifier(transport, "p", driver="messagingv2", topics=["green"])
    with ticker.counted("send"):
        for number in range(SENT):
            notifier.info({}, "e", number)
    with eventlet.Timeout(60):
        while len(endpoint.got) < SENT:
            eventlet.sleep(0.01)
    print("got", sum(got == number for number, got in enumerate(endpoint.got)), flush=True)
    with ticker.counted("idle"):
        eventlet.sleep(1)
    for what, options in LOST.items():
        lost = oslo_messaging.get_notification_transport(conf, url=f"{nowhere}?{options}")
        doomed = oslo_messaging.Notifier(lost, "p", driver="messagingv2", topics=["t"], retry=0)
        with ticker.counted(what):
            doomed.info({}, "e", "to nobody")
            lost.cleanup()
    with ticker.counted("stop"):
        listener.stop()
        listener.wait()
        transport.cleanup()


main()
