# SPDX-License-Identifier: Apache-2.0
"""What the plug-in adds to a notification, counted as ``tests/bench/test_cost.py`` does.

oslo.messaging's own functions count, too: going by way of its executor is most of the cost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from kafka_notify.bench.workload import cycle, samples
from tests.bench.test_cost import BOUND_S, Calls, counted, each, told

pytest.importorskip("oslo_messaging")
pytestmark = pytest.mark.functional  # for the environments that have oslo.messaging

import oslo_messaging  # noqa: E402
from oslo_config import cfg  # noqa: E402

SAMPLES = samples()

Connect = Callable[[str], Any]


@pytest.fixture
def connect(unique: str) -> Connect:
    def connect(name: str) -> Any:
        conf = cfg.ConfigOpts()
        conf([])
        url = f"kafka-notify+memory://{unique}-{name}/?group_start=beginning"
        return oslo_messaging.get_notification_transport(conf, url=url)

    return connect


def notify(transport: Any, count: int) -> None:
    """Send, as services do: a notifier for each publisher."""
    first = oslo_messaging.Notifier(transport, driver="messagingv2", topics=["t"])
    of = {one: first.prepare(publisher_id=one) for one in {s.publisher_id for s in SAMPLES}}
    for one in cycle(SAMPLES, count):
        of[one.publisher_id].info({}, one.event_type, one.payload)


def listen(transport: Any, count: int) -> None:
    """Receive so many, and stop."""
    arrived: list[None] = []
    complete = threading.Event()

    class Endpoint:
        def info(self, *_notification: Any) -> None:
            arrived.append(None)
            if len(arrived) >= count:
                complete.set()

    target = oslo_messaging.Target(topic="t")
    server = oslo_messaging.get_notification_listener(
        transport, [target], [Endpoint()], executor="threading", pool="p"
    )
    server.start()
    assert complete.wait(BOUND_S)
    server.stop()
    server.wait()


def test_sending(connect: Connect) -> None:
    """A send calls no more functions than it did."""

    def calls(count: int) -> Calls:
        with counted() as found:
            transport = connect(f"{count}")
            notify(transport, count)
            transport.cleanup()
        return found

    costs = each(calls)
    assert sum(costs.values()) <= 86, told(costs)


def test_receiving(connect: Connect) -> None:
    """A notification reaches its endpoint by way of the executor once in a while only."""

    def calls(count: int) -> Calls:
        transport = connect(f"{count}")
        notify(transport, count)
        with counted() as found:
            listen(transport, count)
        transport.cleanup()
        return found

    costs = each(calls)
    assert sum(costs.values()) <= 67, told(costs)
    assert costs["_futures.py", "submit"] <= 0.5, told(costs)
