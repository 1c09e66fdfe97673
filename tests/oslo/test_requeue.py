# SPDX-License-Identifier: Apache-2.0
"""Requeueing through oslo.messaging: the notification comes again, to the pool that asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Kafka
from tests.oslo.conftest import url_of
from tests.scenarios.recorder import Recorder
from tests.waiting import eventually

oslo_messaging = pytest.importorskip("oslo_messaging")
pytestmark = pytest.mark.functional

Connect = Callable[..., Any]
Listen = Callable[..., Any]
COME_S = 30.0
TIMES = 3


class Reluctant:
    """Requeues the payload 'again', or raises for it, the first times that it comes."""

    def __init__(self, *, raising: bool) -> None:
        self._raising = raising
        self.got: list[tuple[str, Any]] = []

    def info(
        self, _c: Any, publisher: str, _event: str, payload: Any, _metadata: Any
    ) -> str | None:
        """Take one notification."""
        self.got.append((publisher, payload))
        if payload == "again" and self.got.count((publisher, payload)) <= TIMES:
            if self._raising:
                raise ValueError("not yet")
            return str(oslo_messaging.NotificationResult.REQUEUE)
        return None


@pytest.mark.parametrize("raising", [False, True], ids=["requeues", "raises"])
def test_what_is_requeued_comes_again(
    raising: bool, connect: Connect, kafka: Kafka, listen: Listen, unique: str
) -> None:
    """Before the next of its publisher; others do not wait, and another pool gets it once."""
    transport = connect(url_of(kafka))
    reluctant, other_pool = Reluctant(raising=raising), Recorder()
    listen(transport, unique, reluctant, allow_requeue=True)
    listen(transport, unique, other_pool, pool=f"{unique}-other")
    notifier = oslo_messaging.Notifier(transport, "a", driver="messagingv2", topics=[unique])
    notifier.info({}, "event", "again")
    notifier.info({}, "event", "behind")
    notifier.prepare(publisher_id="b").info({}, "event", "beside")
    expected = [*[("a", "again")] * (TIMES + 1), ("a", "behind")]

    def of_a() -> list[tuple[str, Any]]:
        return [one for one in reluctant.got if one[0] == "a"]

    eventually(lambda: of_a() == expected, COME_S, "all of a")
    assert ("b", "beside") in reluctant.got[: TIMES + 1]
    other_pool.wait(3)
    assert sorted(other_pool.payloads) == ["again", "behind", "beside"]


def test_without_allow_requeue_nothing_comes_again(
    connect: Connect, kafka: Kafka, listen: Listen, unique: str
) -> None:
    """oslo.messaging acknowledges what raised or was requeued."""
    transport = connect(url_of(kafka))
    reluctant = Reluctant(raising=True)
    listen(transport, unique, reluctant)
    notifier = oslo_messaging.Notifier(transport, "a", driver="messagingv2", topics=[unique])
    for payload in ("again", "behind"):
        notifier.info({}, "event", payload)
    eventually(lambda: ("a", "behind") in reluctant.got, COME_S, "the next")
    assert reluctant.got == [("a", "again"), ("a", "behind")]


def test_a_batch_comes_again_in_part(
    connect: Connect, kafka: Kafka, listen: Listen, unique: str
) -> None:
    """A batch whose endpoint asks for it is handed out again; it counts as one."""
    transport = connect(url_of(kafka))
    batches: list[list[Any]] = []

    class Endpoint:
        def info(self, messages: list[dict[str, Any]]) -> str | None:
            batches.append([message["payload"] for message in messages])
            return str(oslo_messaging.NotificationResult.REQUEUE) if len(batches) == 1 else None

    listen(transport, unique, Endpoint(), allow_requeue=True, batch_size=3, batch_timeout=5)
    notifier = oslo_messaging.Notifier(transport, "a", driver="messagingv2", topics=[unique])
    for number in range(6):
        notifier.info({}, "event", number)
    eventually(lambda: len(batches) >= 3, COME_S, "the batches")
    assert batches == [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
