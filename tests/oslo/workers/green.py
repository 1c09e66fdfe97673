# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402 - eventlet has to come first
"""A service patched by eventlet: what another green thread can do while we send and poll.

Arguments: a URL, and one where nobody listens. Prints ``WHAT TICKS`` for each thing done: how
often the other green thread had its turn meanwhile; ``got N`` for what was received in order.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import oslo_messaging
from oslo_config import cfg

url, nowhere = sys.argv[1:]
SENT = 300
LOG = logging.getLogger(__name__)
logging.basicConfig(level=logging.DEBUG)


class Ticker:
    """Another green thread, which counts its turns."""

    def __init__(self) -> None:
        self.turns = 0
        eventlet.spawn(self._run)

    def _run(self) -> None:
        while True:
            eventlet.sleep(0.005)
            self.turns += 1
            LOG.debug("a turn")  # beside our real threads, which log at the same time


ticker = Ticker()


@contextmanager
def counted(what: str) -> Iterator[None]:
    """Print how many turns the other had meanwhile."""
    before = ticker.turns
    yield
    print(what, ticker.turns - before, flush=True)


class Endpoint:
    """Notes what came; one that is slow must not hold up others."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def info(self, _c: Any, _publisher: Any, _event: Any, payload: Any, _metadata: Any) -> None:
        """Take one notification."""
        eventlet.sleep(0.001)
        self.got.append(payload)


def main() -> None:
    """Listen, send, idle, send to nobody, stop."""
    conf = cfg.ConfigOpts()
    conf([])
    endpoint = Endpoint()
    transport = oslo_messaging.get_notification_transport(conf, url=url)
    listener = oslo_messaging.get_notification_listener(
        transport, [oslo_messaging.Target(topic="green")], [endpoint], executor="eventlet"
    )
    with counted("start"):
        listener.start()
    notifier = oslo_messaging.Notifier(transport, "p", driver="messagingv2", topics=["green"])
    with counted("send"):
        for number in range(SENT):
            notifier.info({}, "e", number)
    with eventlet.Timeout(60):
        while len(endpoint.got) < SENT:
            eventlet.sleep(0.01)
    print("got", sum(got == number for number, got in enumerate(endpoint.got)), flush=True)
    with counted("idle"):
        eventlet.sleep(1)
    lost = oslo_messaging.get_notification_transport(conf, url=nowhere)
    doomed = oslo_messaging.Notifier(lost, "p", driver="messagingv2", topics=["green"], retry=0)
    with counted("confirm"):
        doomed.info({}, "e", "to nobody")
    with counted("stop"):
        listener.stop()
        listener.wait()
        transport.cleanup()
        lost.cleanup()


main()
