# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402 - eventlet has to come first
"""A listener in a process patched by eventlet: requeueing, and ends in either order.

Arguments: scenario, URL, topic; it is the pool, too. Prints ``got PUBLISHER PAYLOAD`` for each
call of the endpoint, and what ``Ticker.counted`` does for each thing done. Scenarios: ``requeue``
and ``raise`` say how a notification comes again; ``transport`` and ``server`` what ends first.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import logging
import sys
from collections.abc import Callable
from typing import Any

import oslo_messaging
from oslo_config import cfg
from ticker import Ticker

scenario, url, topic = sys.argv[1:]
TIMES = 3  # a notification is refused, before it is taken
COME_S = 60
logging.basicConfig(level=logging.INFO)

conf = cfg.ConfigOpts()
conf([])
transport = oslo_messaging.get_notification_transport(conf, url=url)
notifier = oslo_messaging.Notifier(transport, "a", driver="messagingv2", topics=[topic])
ticker = Ticker()


class Endpoint:
    """Refuses the payload 'again' the first times; takes its time for each."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Any]] = []

    def info(self, _c: Any, publisher: str, _event: Any, payload: Any, _metadata: Any) -> Any:
        """Take one notification."""
        eventlet.sleep(0.05)
        self.got.append((publisher, payload))
        print("got", publisher, payload, flush=True)
        if payload == "again" and self.got.count((publisher, payload)) <= TIMES:
            if scenario == "raise":
                raise ValueError("not yet")
            return oslo_messaging.NotificationResult.REQUEUE
        return None


def wait_until(predicate: Callable[[], bool]) -> None:
    """Let others run until it is so."""
    with eventlet.Timeout(COME_S):
        while not predicate():
            eventlet.sleep(0.005)


def come_again(endpoint: Endpoint, listener: Any) -> None:
    """Send one that is refused, one behind it, and one beside; then end."""
    with ticker.counted("requeued"):
        notifier.info({}, "event", "again")
        notifier.info({}, "event", "behind")
        notifier.prepare(publisher_id="b").info({}, "event", "beside")
        wait_until(lambda: ("a", "behind") in endpoint.got)
    listener.stop()
    listener.wait()
    transport.cleanup()


def end(endpoint: Endpoint, listener: Any) -> None:
    """End with twenty on their way, transport or listener first."""
    for number in range(20):
        notifier.info({}, "event", number)
    wait_until(lambda: len(endpoint.got) > 0)
    ends = [transport.cleanup, listener.stop, listener.wait]
    if scenario == "server":
        ends = [listener.stop, transport.cleanup, listener.wait]
    with ticker.counted("ended"):
        for one in ends:
            one()


def main() -> None:
    """Listen, and play the scenario."""
    endpoint = Endpoint()
    listener = oslo_messaging.get_notification_listener(
        transport,
        [oslo_messaging.Target(topic=topic)],
        [endpoint],
        executor="eventlet",
        pool=topic,
        allow_requeue=scenario in ("requeue", "raise"),
    )
    listener.start()
    play = come_again if scenario in ("requeue", "raise") else end
    play(endpoint, listener)


main()
