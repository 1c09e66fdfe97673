# SPDX-License-Identifier: Apache-2.0
"""Records that are no notifications, and notifications that are refused by their endpoints."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

import kafka_notify
from kafka_notify.broker import Cluster
from tests.faults.conftest import Report
from tests.faults.judge import judge
from tests.faults.scene import POLICIES, SETTLE_S, Scene
from tests.faults.tally import Tally, tally
from tests.scenarios.topics import Stored, envelope
from tests.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

POISON: dict[str, bytes | None] = {
    "not UTF-8": b"\x00\xff\xfe\xfd",
    "not JSON": b"{not json",
    "tombstone": None,
    "JSON list": b"[1, 2]",
    "wrong envelope": b'{"oslo.version": "9.0", "oslo.message": "{}"}',
}
GOOD = 250  # before, and as many after the bad one
KEY = "k0"


def good(first: int) -> list[bytes]:
    """Return notifications as the endpoints of the suite know them."""
    return [envelope({"number": one, "key": KEY}) for one in range(first, first + GOOD)]


def decoded(message: Message) -> Stored:
    """Return a notification as it lies in the log."""
    fields = json.loads(json.loads(message.value() or b"")["oslo.message"])
    return Stored(partition=0, offset=message.offset() or 0, key=message.key(), fields=fields)


@pytest.mark.parametrize("backlog", [True, False], ids=["backlog", "live"])
@pytest.mark.parametrize("kind", POISON)
def test_poison(
    kind: str, backlog: bool, single: Cluster, tmp_path: Path, unique: str, report: Report
) -> None:
    """One amid 500 of its key costs only itself; it is in the dead-letter topic, byte for byte.

    Of each group once: there are two here.
    """
    with Scene(
        single.bootstrap, tmp_path / "scene", unique, partitions=1, group_start="beginning"
    ) as scene:
        topic, bare = scene.log_topic, scene.bare
        if not backlog:
            scene.listener()
        bare.send(topic, good(0), key=KEY.encode())
        bare.send(topic, [POISON[kind]], key=KEY.encode())
        bare.send(topic, good(GOOD), key=KEY.encode())
        if backlog:
            scene.listener()
        expected = set(range(2 * GOOD))
        for policy in POLICIES:
            eventually(
                lambda p=policy: (
                    scene.journal.numbers("out", p) == expected
                    and bare.lag(scene.group(p), topic) == 0
                ),
                SETTLE_S,
                f"all that is good under {policy}",
            )
        eventually(lambda: bare.partitions(f"{topic}.dlq"), SETTLE_S, "the dead-letter topic")
        eventually(lambda: len(bare.read_raw(f"{topic}.dlq")) == 2, SETTLE_S, "its dead letters")
        scene.leave(*scene.listeners)
        dead = bare.read_raw(f"{topic}.dlq")
        assert [(one.key(), one.value()) for one in dead] == [(KEY.encode(), POISON[kind])] * 2
        headers = [dict(one.headers() or ()) for one in dead]
        assert {one["dlq.group"].decode() for one in headers} == {*map(scene.group, POLICIES)}
        for one in headers:
            assert one["dlq.topic"] == topic.encode()
            assert (one["dlq.partition"], one["dlq.offset"]) == (b"0", str(GOOD).encode())
            assert one["dlq.attempts"] == b"0"
            assert one["dlq.error"]
            assert one["dlq.time"]
        log = [decoded(one) for one in bare.read_raw(topic) if one.offset() != GOOD]
        for policy in POLICIES:
            found = tally(scene.journal, log, policy)
            found.sent = found.confirmed = found.in_log
            numbers = [one.number for one in scene.journal.lines("in") if one.policy == policy]
            how = "backlog" if backlog else "live"
            report(f"poison: {kind}, {how}", {policy: found}, dead_letters=1)
            assert numbers == list(range(2 * GOOD))


class Choosy:
    """Wants some again, twice; keeps what it gets, in its order."""

    def __init__(self, refuses: Callable[[int], bool]) -> None:
        self._refuses = refuses
        self._lock = threading.Lock()
        self.got: list[tuple[str, int]] = []

    def info(self, _ctxt: Any, publisher: str, _event: Any, payload: int, _meta: Any) -> Any:
        """Take one."""
        with self._lock:
            self.got.append((publisher, payload))
            times = self.got.count((publisher, payload))
        if self._refuses(payload) and times <= 2:
            return kafka_notify.NotificationResult.REQUEUE
        return kafka_notify.NotificationResult.HANDLED


@pytest.mark.parametrize("policy", POLICIES)
def test_requeue(policy: str, single: Cluster, unique: str, report: Report) -> None:
    """20 of 200 are requeued, twice each: that pool gets them again, in order; the other never."""
    url = (
        f"kafka://{single.bootstrap}/?commit_policy={policy}&requeue_wait=0.02"
        "&kafka_consumer_timeout=0.2"
    )
    pools = {
        f"{unique}-choosy": Choosy(lambda payload: payload % 10 == 3),
        f"{unique}-calm": Choosy(lambda _payload: False),
    }
    choosy, calm = pools.values()
    with kafka_notify.get_notification_transport(url=url) as transport:
        listeners = []
        for pool, endpoint in pools.items():
            listeners.append(
                kafka_notify.get_notification_listener(
                    transport,
                    [kafka_notify.Target(topic=unique)],
                    [endpoint],
                    pool=pool,
                    allow_requeue=True,
                )
            )
            listeners[-1].start()
        notifier = kafka_notify.Notifier(transport, topics=[unique])
        publishers = [notifier.prepare(publisher_id=f"p{one}") for one in range(8)]
        for number in range(200):
            publishers[number % 8].info({}, "fault", number)
        eventually(lambda: len(choosy.got) >= 240 and len(calm.got) >= 200, SETTLE_S, "all")
        for listener in listeners:
            listener.stop()
            listener.wait()
    received = len(set(choosy.got))
    found = Tally(sent=200, confirmed=200, in_log=200, received=received, lost=200 - received)
    report("requeue", {policy: found}, requeued=20, redelivered=len(choosy.got) - 200)
    assert Counter(calm.got) == Counter(set(calm.got))
    assert len(calm.got) == 200
    times = Counter(payload for _, payload in choosy.got)
    assert times == {one: 3 if one % 10 == 3 else 1 for one in range(200)}
    for one in range(8):
        mine = [payload for publisher, payload in choosy.got if publisher == f"p{one}"]
        assert mine == sorted(mine), "a requeued one was passed by a later one of its key"


@pytest.mark.parametrize("policy", POLICIES)
def test_a_stuck_endpoint(
    policy: str, single: Cluster, tmp_path: Path, unique: str, report: Report
) -> None:
    """It is told, trips liveness, holds up its key alone, and all goes on once it is free."""
    with Scene(
        single.bootstrap,
        tmp_path / "scene",
        unique,
        policies=[policy],
        stuck_after=1,
        # Between the endpoint and the others of its key this many may be.
        dispatch_window=2000,
    ) as scene:
        listener = scene.listener("--stuck-at", 40)
        scene.send(1000, "--keys", 16)
        stuck = next(line for line in scene.journal.lines("sent") if line.number == 40).key
        held = {
            line.number
            for line in scene.journal.lines("sent")
            if line.key == stuck and line.number >= 40
        }
        eventually(
            lambda: len(scene.journal.numbers("out", policy)) == 1000 - len(held),
            SETTLE_S,
            "all others",
        )
        eventually(
            lambda: any(one.event == "EndpointStuck" for one in scene.journal.told(policy)),
            SETTLE_S,
            "a word about it",
        )
        listener.tell("problems")
        assert listener.wait_for_lines("problems ")[0].startswith("1 ")
        listener.tell("go")
        found = scene.settle()
        report("stuck endpoint", found, held_up=len(held))
        assert held
        judge(found)
        assert found[policy].lost == 0
