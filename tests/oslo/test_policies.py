# SPDX-License-Identifier: Apache-2.0
"""Commit policies through oslo.messaging: from the URL's query, or from the service's file."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from kafka_notify.drivers.memory_cluster import MemoryCluster
from tests.waiting import eventually

oslo_messaging = pytest.importorskip("oslo_messaging")

BOUND_S = 20.0
Connect = Callable[..., Any]
Listen = Callable[..., Any]


class Blocked:
    """An endpoint, of single notifications or lists, that holds on to what it gets."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.got: list[Any] = []

    def info(self, *arguments: Any) -> None:
        """Take one call."""
        if len(arguments) == 1:
            self.got += [message["payload"] for message in arguments[0]]
        else:
            self.got.append(arguments[3])
        assert self.go_on.wait(3 * BOUND_S)


@pytest.mark.parametrize("batch", [{}, {"batch_size": 2, "batch_timeout": 60}])
@pytest.mark.parametrize("in_file", [False, True], ids=["URL", "file"])
@pytest.mark.parametrize("policy", ["before_dispatch", "after_dispatch"])
def test_when_it_is_committed(
    policy: str,
    in_file: bool,
    batch: dict[str, Any],
    connect: Connect,
    configure: Callable[[str], Any],
    listen: Listen,
    unique: str,
) -> None:
    """Before the endpoint is called, or when it is done."""
    cluster = MemoryCluster.find(unique)
    url = f"kafka-notify+memory://{unique}/?kafka_consumer_timeout=0.05"
    conf = None
    if in_file:
        conf = configure(f"[oslo_messaging_kafka]\ncommit_policy = {policy}\n")
    else:
        url += f"&commit_policy={policy}"
    transport = connect(url, conf)
    blocked = Blocked()
    listen(transport, "t", blocked, **batch)
    notifier = oslo_messaging.Notifier(transport, "p", driver="messagingv2", topics=["t"])
    for number in range(2):
        notifier.info({}, "e", number)
    eventually(lambda: len(blocked.got) == (2 if batch else 1), BOUND_S, "the call")

    def committed() -> int:
        return sum(cluster.committed("t").values())

    if policy == "before_dispatch":
        eventually(lambda: committed() == 2, BOUND_S, "the commit")
    else:
        assert committed() == 0
    blocked.go_on.set()
    eventually(lambda: committed() == 2, BOUND_S, "the commit")
    eventually(lambda: blocked.got == [0, 1], BOUND_S, "the other")


def test_what_a_stopped_listener_had_not_begun_comes_to_the_next(
    connect: Connect, listen: Listen, unique: str
) -> None:
    """Under after_dispatch, with an endpoint that asks for its notification again."""
    transport = connect(
        f"kafka-notify+memory://{unique}/?kafka_consumer_timeout=0.05"
        "&commit_policy=after_dispatch&requeue_wait=600&requeue_wait_max=600"
    )
    got: list[Any] = []

    class Endpoint:
        def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> str | None:
            got.append(payload)
            return str(oslo_messaging.NotificationResult.REQUEUE) if len(got) == 1 else None

    server = listen(transport, "t", Endpoint(), allow_requeue=True)
    notifier = oslo_messaging.Notifier(transport, "p", driver="messagingv2", topics=["t"])
    for number in range(3):
        notifier.info({}, "e", number)
    eventually(lambda: got == [0], BOUND_S, "the first call")
    server.stop()
    server.wait()
    assert got == [0]
    assert not [one.name for one in threading.enumerate() if one.name.endswith("redelivery-t")]
    listen(transport, "t", Endpoint(), allow_requeue=True)
    eventually(lambda: got == [0, 0, 1, 2], BOUND_S, "all, in order")
