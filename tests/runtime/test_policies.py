# SPDX-License-Identifier: Apache-2.0
"""Commit policies, requeueing and dead letters, on the cluster in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import kafka_notify
from kafka_notify import NotificationResult
from kafka_notify.core import events
from kafka_notify.core.message import Partition
from kafka_notify.drivers.memory_cluster import MemoryCluster
from kafka_notify.errors import DeliveryRefused, InvalidName
from tests.runtime.conftest import Recorder
from tests.runtime.rig import Moody, Rig, committed
from tests.waiting import eventually

BOUND_S = 10.0
QUICK = "requeue_wait=0.01&requeue_wait_max=0.02"


class TestAfterDispatch:
    """Committed when the endpoints are done, and not before."""

    def test_nothing_is_committed_while_an_endpoint_works(
        self, rig: Callable[[str], Rig], cluster: MemoryCluster
    ) -> None:
        go_on = threading.Event()
        entered = threading.Event()

        class Endpoint:
            def info(self, *_arguments: Any) -> None:
                entered.set()
                go_on.wait(BOUND_S)

        made = rig("commit_policy=after_dispatch")
        made.listen(Endpoint())
        made.send(1)
        assert entered.wait(BOUND_S)
        assert committed(cluster) == 0
        go_on.set()
        eventually(lambda: committed(cluster) == 1, BOUND_S, "the commit")

    def test_the_next_listener_repeats_only_what_is_unfinished(
        self, rig: Callable[[str], Rig], cluster: MemoryCluster
    ) -> None:
        """A member that hangs is taken for dead; the one after it learns from the note."""
        made = rig("commit_policy=after_dispatch&drain_timeout=0")
        hang = threading.Event()
        got: list[Any] = []

        class Endpoint:
            def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> None:
                if payload == 0:
                    hang.wait(BOUND_S)
                got.append(payload)

        first = made.listen(Endpoint())
        made.send(0, 1, publisher="stuck")
        made.send(*range(2, 10), publisher="flows")
        eventually(lambda: sorted(got) == list(range(2, 10)), BOUND_S, "what flows")
        eventually(
            lambda: committed(cluster) > 0 or cluster.group("pool").notes, BOUND_S, "a note"
        )
        threading.Event().wait(0.3)  # the next commit of an interval of 0.1 s
        first.stop()
        hang.set()
        recorder = Recorder()
        made.listen(recorder)
        recorder.wait_for(2)
        assert recorder.payloads == [0, 1]
        eventually(lambda: got.count(0) == 1, BOUND_S, "the end of the one that hung")

    def test_an_orderly_stop_commits_all(
        self, rig: Callable[[str], Rig], cluster: MemoryCluster
    ) -> None:
        made = rig("commit_policy=after_dispatch")
        recorder = Recorder()
        listener = made.listen(recorder)
        made.send(*range(100))
        recorder.wait_for(1)
        listener.stop()
        count = len(recorder.payloads)
        assert committed(cluster) == count
        again = Recorder()
        made.listen(again)
        again.wait_for(100 - count)
        assert recorder.payloads + again.payloads == list(range(100))


class TestRequeue:
    """What asks for it comes again, in its key's order; then it is dead-lettered."""

    @pytest.mark.parametrize("raising", [False, True])
    def test_it_comes_again(
        self, raising: bool, policy: str, rig: Callable[[str], Rig], cluster: MemoryCluster
    ) -> None:
        """Before the next of its key; and the offset is committed in the end."""
        made = rig(f"{QUICK}&commit_policy={policy}")
        moody = Moody({"again": 3}, raising=raising)
        made.listen(moody, allow_requeue=True)
        made.send("again", "behind")
        eventually(lambda: moody.got == ["again"] * 4 + ["behind"], BOUND_S, "all")
        eventually(lambda: committed(cluster) == 2, BOUND_S, "the commit")
        assert made.transport.stats()["requeued"] == 3

    def test_without_allow_requeue(self, policy: str, rig: Callable[[str], Rig]) -> None:
        """It counts as handled, as oslo.messaging has it."""
        made = rig(f"{QUICK}&commit_policy={policy}")
        moody = Moody({"again": 3})
        made.listen(moody)
        made.send("again", "behind")
        eventually(lambda: moody.got == ["again", "behind"], BOUND_S, "both")

    def test_only_who_asked_is_called_again(self, policy: str, rig: Callable[[str], Rig]) -> None:
        """An endpoint that has handled it is not."""
        made = rig(f"{QUICK}&commit_policy={policy}")
        moody, calm = Moody({"again": 2}), Recorder()
        listener = kafka_notify.get_notification_listener(
            made.transport,
            [kafka_notify.Target(topic="t")],
            [calm, moody],
            allow_requeue=True,
            pool="pool",
        )
        listener.start()
        made.send("again")
        eventually(lambda: len(moody.got) == 3, BOUND_S, "three calls")
        assert calm.payloads == ["again"]

    def test_the_limit(
        self, policy: str, rig: Callable[[str], Rig], cluster: MemoryCluster
    ) -> None:
        """The record, byte for byte, with why and from where; the next of its key goes on."""
        made = rig(f"{QUICK}&requeue_limit=3&commit_policy={policy}")
        moody = Moody({"poison": 99}, raising=True)
        made.listen(moody, allow_requeue=True)
        made.send("poison", "behind")
        eventually(lambda: moody.got == ["poison"] * 3 + ["behind"], BOUND_S, "the next")
        [dead] = cluster.records("t.info.dlq")
        origin = cluster.records("t.info")[0]
        assert (dead.key, dead.value) == (origin.key, origin.value)
        headers = {name: value.decode() for name, value in dead.headers if value is not None}
        assert headers.pop("dlq.time").endswith("+00:00")
        assert "not yet" in headers.pop("dlq.error")
        assert headers == {
            "dlq.topic": "t.info",
            "dlq.partition": str(origin.partition),
            "dlq.offset": "0",
            "dlq.group": "pool",
            "dlq.attempts": "3",
        }
        eventually(lambda: committed(cluster) == 2, BOUND_S, "the commit")

    def test_a_dead_letter_topic_that_cannot_be_written(
        self, policy: str, rig: Callable[[str], Rig], cluster: MemoryCluster
    ) -> None:
        """The key waits, and nothing is committed behind it; others flow."""
        made = rig(f"{QUICK}&requeue_limit=1&commit_policy={policy}")
        cluster.refuse("t.info.dlq", DeliveryRefused("no"))
        moody = Moody({"poison": 99})
        made.listen(moody, allow_requeue=True)
        made.send("poison", "behind")
        made.send("beside", publisher="other")
        eventually(lambda: len(made.of(events.DeadLetterFailed)) >= 2, BOUND_S, "two attempts")
        eventually(lambda: "beside" in moody.got, BOUND_S, "the other key")
        assert sorted(moody.got) == ["beside", "poison"]
        if policy == "after_dispatch":
            assert committed(cluster) <= 1
        cluster.refuse("t.info.dlq", None)
        eventually(lambda: "behind" in moody.got, BOUND_S, "the next of the key")
        assert len(cluster.records("t.info.dlq")) == 1
        assert made.transport.stats()["dead_letters_failed"] >= 2

    def test_a_stop_under_before_dispatch(
        self, rig: Callable[[str], Rig], cluster: MemoryCluster
    ) -> None:
        """Committed already: what asks again during a stop is dead-lettered, not lost."""
        made = rig("requeue_wait=30&requeue_wait_max=60")
        moody = Moody({"again": 99})
        listener = made.listen(moody, allow_requeue=True)
        made.send("again", "behind")
        eventually(lambda: made.transport.stats()["received"] == 2, BOUND_S, "both are taken")
        eventually(lambda: moody.got == ["again"], BOUND_S, "the first call")
        eventually(lambda: committed(cluster) == 2, BOUND_S, "the next of its key in hand")
        listener.stop()
        assert moody.got == ["again", "again", "behind"]
        assert len(cluster.records("t.info.dlq")) == 1

    def test_a_stop_under_after_dispatch(
        self, rig: Callable[[str], Rig], cluster: MemoryCluster
    ) -> None:
        """Not committed: the next listener gets it, and what is behind it, in order."""
        made = rig("requeue_wait=30&requeue_wait_max=60&commit_policy=after_dispatch")
        moody = Moody({"again": 1})
        listener = made.listen(moody, allow_requeue=True)
        made.send("again", "behind")
        made.send("beside", publisher="other")
        eventually(lambda: sorted(moody.got) == ["again", "beside"], BOUND_S, "what can run")
        listener.stop()
        assert sorted(moody.got) == ["again", "beside"]
        made.listen(moody, allow_requeue=True)
        eventually(lambda: len(moody.got) == 4, BOUND_S, "the rest")
        assert moody.got[2:] == ["again", "behind"]
        assert not cluster.records("t.info.dlq")

    def test_a_batch(self, policy: str, rig: Callable[[str], Rig], cluster: MemoryCluster) -> None:
        """The list comes again as a whole; an undecodable record in it is dead-lettered alone."""
        made = rig(f"{QUICK}&commit_policy={policy}")
        lists: list[list[Any]] = []

        class Endpoint:
            def info(self, messages: list[dict[str, Any]]) -> str | None:
                lists.append([message["payload"] for message in messages])
                return NotificationResult.REQUEUE if len(lists) == 1 else None

        made.listen(Endpoint(), allow_requeue=True, batch_size=3, batch_timeout=0.2)
        made.send(1)
        with cluster.changed:
            cluster.append("t.info", b"\xff", key=b"p", headers=())
        made.send(2)
        eventually(lambda: len(lists) == 2, BOUND_S, "two calls")
        assert lists == [[1, 2], [1, 2]]
        eventually(lambda: committed(cluster) == 3, BOUND_S, "the commit")
        assert [one.value for one in cluster.records("t.info.dlq")] == [b"\xff"]
        assert made.transport.stats()["dispatched"] == 2


POISON = {
    "not UTF-8": b"\xff\xfe",
    "not JSON": b"{",
    "a tombstone": None,
    "a list": b"[1]",
    "no priority": b'{"oslo.version": "2.0", "oslo.message": "{}"}',
}


@pytest.mark.parametrize("kind", POISON)
def test_poison_costs_only_itself(
    kind: str, policy: str, rig: Callable[[str], Rig], cluster: MemoryCluster
) -> None:
    """It lies in the dead-letter topic at once, byte for byte, handed to nobody."""
    made = rig(f"commit_policy={policy}")
    recorder = Recorder()
    made.listen(recorder)
    with cluster.changed:
        cluster.append("t.info", POISON[kind], key=b"p", headers=[("theirs", b"1")])
    made.send(1)
    recorder.wait_for(1)
    [dead] = cluster.records("t.info.dlq")
    assert dead.value == POISON[kind]
    headers = dict(dead.headers)
    assert headers["theirs"] == b"1"
    assert headers["dlq.attempts"] == b"0"
    eventually(lambda: committed(cluster) == 2, BOUND_S, "the commit")


def test_dead_letters_may_be_off(rig: Callable[[str], Rig], cluster: MemoryCluster) -> None:
    """Then the log alone tells."""
    made = rig("dead_letter=false")
    recorder = Recorder()
    made.listen(recorder)
    with cluster.changed:
        cluster.append("t.info", b"?", key=b"p", headers=())
    made.send(1)
    recorder.wait_for(1)
    assert "t.info.dlq" not in cluster.topics()
    assert len(made.of(events.GivenUp)) == 1


def test_a_topic_too_long_for_its_dead_letters(rig: Callable[[str], Rig]) -> None:
    """The listener is refused before anything is lost; the option is named."""
    with pytest.raises(InvalidName, match="dead_letter=false"):
        kafka_notify.get_notification_listener(
            rig("").transport, [kafka_notify.Target(topic="t" * 240)], [Recorder()]
        )


def test_coroutines(policy: str, rig: Callable[[str], Rig]) -> None:
    """Endpoints may be coroutine functions: in order per key, requeued as others."""
    made = rig(f"{QUICK}&commit_policy={policy}")
    got: list[Any] = []
    loops: set[int] = set()

    class Endpoint:
        async def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> str | None:
            loops.add(id(asyncio.get_running_loop()))
            await asyncio.sleep(0)
            got.append(payload)
            return NotificationResult.REQUEUE if got.count(1) == 1 else None

    listener = made.listen(Endpoint(), allow_requeue=True)
    made.send(*range(5))
    eventually(lambda: got == [0, 1, 1, 2, 3, 4], BOUND_S, "all")
    assert len(loops) == 1
    listener.stop()
    listener.wait()
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if "endpoints" in name or name.endswith("redelivery-pool")]


def test_a_stuck_endpoint_is_told(policy: str, rig: Callable[[str], Rig]) -> None:
    """Which notification, and for how long."""
    made = rig(f"stuck_after=0.1&commit_policy={policy}")
    go_on = threading.Event()

    class Endpoint:
        def info(self, *_arguments: Any) -> None:
            go_on.wait(BOUND_S)

    listener = made.listen(Endpoint())
    assert listener.problems() == []
    made.send(1)
    eventually(lambda: made.of(events.EndpointStuck), BOUND_S, "the report")
    [problem] = listener.problems()
    go_on.set()
    [told] = made.of(events.EndpointStuck)[:1]
    assert told.message_id is not None
    assert told.message_id in problem
    assert told.running_s >= 0.1
    eventually(lambda: listener.problems() == [], BOUND_S, "its end")


def test_deduplicate(policy: str, rig: Callable[[str], Rig], cluster: MemoryCluster) -> None:
    """What a sender sent twice is dispatched once, if the option asks for it."""
    made = rig(f"deduplicate=100&commit_policy={policy}")
    recorder = Recorder()
    made.listen(recorder)
    made.send(1)
    twice = cluster.records("t.info")[0]
    with cluster.changed:
        cluster.append("t.info", twice.value, key=twice.key, headers=())
    made.send(2)
    recorder.wait_for(2)
    assert recorder.payloads == [1, 2]
    assert made.transport.stats()["duplicates"] == 1


def test_keys_flow_beside_one_that_is_held_up(
    rig: Callable[[str], Rig], cluster: MemoryCluster
) -> None:
    """Under after_dispatch what waits behind a requeued notification takes no room."""
    made = rig(
        "commit_policy=after_dispatch&dispatch_window=10&requeue_wait=30&requeue_wait_max=60"
    )
    moody = Moody({"again": 1})
    made.listen(moody, allow_requeue=True)
    made.send("again", *range(50))
    made.send("flows", publisher="other")
    eventually(lambda: "flows" in moody.got, BOUND_S, "the other key")
    assert moody.got.count("again") == 1
    assert Partition("t.info", 0) in cluster.committed("pool")
