# SPDX-License-Identifier: Apache-2.0
"""Commit policies and dead letters on a real Kafka: processes killed, records at the limit."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kafka_notify
from tests.conftest import Kafka
from tests.scenarios.processes import Process
from tests.scenarios.recorder import Recorder
from tests.scenarios.topics import BareClient, envelope
from tests.waiting import eventually

pytestmark = pytest.mark.functional

WORKERS = Path(__file__).parent / "workers"
COME_S = 60.0
Start = Callable[..., Process]
Connect = Callable[..., kafka_notify.NotificationTransport]


def listener(
    transport: kafka_notify.NotificationTransport, topic: str, endpoint: Any, **how: Any
) -> kafka_notify.NotificationListener:
    """Return a listener that has started."""
    made = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic=topic)], [endpoint], **{"pool": topic, **how}
    )
    made.start()
    return made


class TestAfterDispatch:
    """At least once: what a killed listener had not finished comes again, and nothing else."""

    def test_kill_9(
        self,
        brisk: Kafka,
        bare_brisk: BareClient,
        start: Start,
        unique: str,
        member: dict[str, Any],
    ) -> None:
        """Killed in the middle of a backlog: nothing is lost, what is repeated is its window."""
        topic = f"{unique}.info"
        bare_brisk.create(topic)
        for number in range(4):
            bare_brisk.send_payloads(topic, range(number, 1000, 4), partition=number)
        url = brisk.url(
            group_start="beginning", commit_policy="after_dispatch", dispatch_window=100, **member
        )
        first = start(WORKERS / "listen.py", url, unique, unique, "--delay", 0.005)
        first.wait_for_lines("got ", 200)
        first.signal(signal.SIGKILL)
        first.end()
        before = [line.split()[1] for line in first.lines("got ")]
        second = start(WORKERS / "listen.py", url, unique, unique)
        eventually(
            lambda: len({*before, *(line.split()[1] for line in second.lines("got "))}) == 1000,
            COME_S,
            "all of them",
        )
        second.tell("exit")
        assert second.end() == 0, second.log
        after = [line.split()[1] for line in second.lines("got ")]
        assert len(before) == len(set(before))
        assert len(after) == len(set(after))
        assert len(before) + len(after) - 1000 <= 100
        assert bare_brisk.lag(unique, topic) == 0

    def test_one_late_notification_holds_up_no_others(
        self, kafka: Kafka, bare: BareClient, start: Start, unique: str
    ) -> None:
        """Killed while one endpoint works on: of thousands only that one comes again."""
        topic = f"{unique}.info"
        bare.create(topic, partitions=1)
        bare.send(topic, [envelope("late")], key=b"late")
        bare.send(topic, [envelope(number) for number in range(3000)], key=b"others")
        url = kafka.url(group_start="beginning", commit_policy="after_dispatch")
        first = start(WORKERS / "listen.py", url, unique, unique, "--hang-at", "late")
        first.wait_for_lines("got ", 3000)
        eventually(lambda: bare.note(unique, topic), COME_S, "a note beside the offset")
        threading.Event().wait(1)  # some more commits, which nothing tells of
        first.signal(signal.SIGKILL)
        first.end()
        assert bare.committed(unique, topic) == {0: 0}
        second = start(WORKERS / "listen.py", url, unique, unique)
        second.wait_for_lines("got ")
        eventually(lambda: bare.lag(unique, topic) == 0, COME_S, "the commit of all")
        second.tell("exit")
        assert second.end() == 0, second.log
        assert [line.split()[-1] for line in second.lines("got ")] == ["late"]

    def test_a_change_of_partitions(
        self,
        brisk: Kafka,
        bare_brisk: BareClient,
        start: Start,
        unique: str,
        member: dict[str, Any],
    ) -> None:
        """Listeners come and go while notifications arrive: each is dispatched once, in order."""
        topic = f"{unique}.info"
        bare_brisk.create(topic)
        url = brisk.url(group_start="beginning", commit_policy="after_dispatch", **member)
        listeners = [start(WORKERS / "listen.py", url, unique, unique, "--delay", 0.002)]
        listeners[0].wait_for_lines("ready")
        for round_ in range(3):
            for number in range(4):
                first = round_ * 400 + number * 100
                bare_brisk.send_payloads(topic, range(first, first + 100), partition=number)
            if round_ < 2:
                listeners.append(
                    start(WORKERS / "listen.py", url, unique, unique, "--delay", 0.002)
                )
                listeners[-1].wait_for_lines("ready")
            else:
                listeners[0].signal(signal.SIGTERM)

        def got() -> list[str]:
            return [line.split()[-1] for one in listeners for line in one.lines("got ")]

        eventually(lambda: len(set(got())) == 1200, COME_S, "all of them")
        for one in listeners[1:]:
            one.tell("exit")
            assert one.end() == 0, one.log
        assert len(got()) == 1200
        for one in listeners:
            for number in range(4):
                mine = [
                    int(line.split()[-1])
                    for line in one.lines("got ")
                    if int(line.split()[-1]) // 100 % 4 == number
                ]
                assert mine == sorted(mine)


class TestDeadLetters:
    """What cannot be handled lies in the dead-letter topic, whole."""

    def test_a_record_at_the_size_limit(
        self, kafka: Kafka, bare: BareClient, connect: Connect, unique: str
    ) -> None:
        """It still fits, with its headers; whatever the limit of its topic is."""
        topic = f"{unique}.info"
        bare.create(topic, max_message_bytes="2000000")
        poison = b"\xff" * 1_999_900
        bare.send(topic, [poison], options={"message.max.bytes": 2_000_000})
        recorder = Recorder()
        listener(connect(kafka.url(group_start="beginning")), unique, recorder)
        bare.send_payloads(topic, ["after it"])
        recorder.wait(1)
        eventually(lambda: bare.partitions(f"{topic}.dlq"), COME_S, "the dead-letter topic")
        eventually(lambda: bare.read_raw(f"{topic}.dlq"), COME_S, "the dead letter")
        [dead] = bare.read_raw(f"{topic}.dlq")
        assert dead.value() == poison
        headers = dict(dead.headers() or ())
        assert headers["dlq.topic"] == topic.encode()
        assert headers["dlq.group"] == unique.encode()

    @pytest.mark.parametrize("policy", ["before_dispatch", "after_dispatch"])
    def test_only_the_pool_that_asked(
        self, policy: str, kafka: Kafka, bare: BareClient, connect: Connect, unique: str
    ) -> None:
        """One pool requeues until the limit, the other gets everything once."""

        def refuse(_payload: Any) -> None:
            raise ValueError("never")

        url = kafka.url(commit_policy=policy, requeue_limit=3, requeue_wait=0.01)
        transport = connect(url)
        seen: list[Any] = []
        refusing = Recorder(on_call=lambda payload: (seen.append(payload), refuse(payload)))
        calm = Recorder()
        listener(transport, unique, refusing, allow_requeue=True, pool=f"{unique}-a")
        listener(transport, unique, calm, pool=f"{unique}-b")
        notifier = kafka_notify.Notifier(transport, "p", driver="messagingv2", topics=[unique])
        notifier.info({}, "event", 1)
        calm.wait(1)
        eventually(lambda: seen == [1, 1, 1], COME_S, "three attempts")
        eventually(lambda: bare.partitions(f"{unique}.info.dlq"), COME_S, "the dead-letter topic")
        eventually(lambda: bare.payloads(f"{unique}.info.dlq") == [1], COME_S, "the dead letter")
        assert calm.payloads == [1]
