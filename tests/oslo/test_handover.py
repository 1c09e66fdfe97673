# SPDX-License-Identifier: Apache-2.0
"""What oslo.messaging has in hand: one of a key at a time, requeued in place, all counted."""

from __future__ import annotations

import threading

import pytest

from kafka_notify.core import events
from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Partition
from tests.oslo.bench import LONG_S, Bench, Message, record, settled
from tests.waiting import eventually


def test_the_next_of_a_key_comes_after_the_one_before_is_settled(bench: Bench) -> None:
    """Other keys, and records without one, do not wait for it."""
    bench.give(record(0), record(1), record(2, b"other"), record(3, None))
    first = bench.take()
    assert [one.notification.payload for one in first] == [0]
    assert bench.payloads() == [2]
    assert bench.payloads() == [3]
    assert bench.payloads() == []
    settled(bench, first)
    assert bench.payloads() == [1]


def test_what_is_requeued_comes_again_before_the_next_of_its_key(bench: Bench) -> None:
    """Only its own key waits, and each time longer; in_hand counts it all the while."""
    bench.give(record(0), record(1))
    for _ in range(3):
        messages = bench.take()
        assert [one.notification.payload for one in messages] == [0]
        settled(bench, messages, requeue=True)
        assert bench.hands.in_hand == 2
        bench.give(record(2, b"other"))
        messages = bench.take()
        assert [one.notification.payload for one in messages] == [2]
        settled(bench, messages)
    settled(bench, bench.take())
    assert bench.payloads() == [1]


def test_of_a_batch_comes_again_what_was_requeued(bench: Bench) -> None:
    """The rest is done; the batch is finished with its last record."""
    bench.hands.hand_over([Unit(tuple(record(number) for number in range(4)))])
    messages = bench.take()
    assert len(messages) == 4
    for number, message in enumerate(messages):
        bench.hands.settle(message, requeue=number in (1, 3))
    assert bench.hands.in_hand == 4
    messages = bench.take()
    assert [one.notification.payload for one in messages] == [1, 3]
    settled(bench, messages)
    assert bench.hands.in_hand == 0


def test_no_more_are_out_than_the_workers(unique: str) -> None:
    """The next key's turn comes when one is settled; requeued ones and bad ones make room, too."""
    bench = Bench(unique, limit=2)
    bench.give(*(record(number, str(number).encode()) for number in range(4)))
    first, second = bench.take(), bench.take()
    assert bench.take(0) == []
    settled(bench, first)
    bench.give(record(4, b"bad", value=b"?"), record(5, b"good"))
    third = bench.take()
    assert bench.take(0) == []
    settled(bench, second, requeue=True)
    settled(bench, third)
    rest = []
    for _ in range(3):
        messages = bench.take(LONG_S)
        rest.append(messages[0].record.offset)
        settled(bench, messages)
    assert sorted(rest) == [1, 3, 5]
    assert bench.hands.drain(None, LONG_S) == 0
    bench.close()


def test_what_waited_is_delivered_by_the_thread_that_settled(bench: Bench) -> None:
    """Ahead of any poll; of the keys that a batch held up, one."""
    delivered: list[Message] = []
    bench.hands.deliver = delivered.extend
    bench.hands.hand_over([Unit((record(0), record(1, b"other")))])
    bench.give(record(2), record(3, b"other"))
    settled(bench, bench.take())
    assert [one.notification.payload for one in delivered] == [2]
    assert bench.payloads() == [3]


def test_what_is_ready_for_longest_takes_the_place_of_what_is_settled(unique: str) -> None:
    """With all workers busy it need not wait for a poll, and none may be out besides."""
    bench = Bench(unique, limit=1)
    delivered: list[Message] = []
    bench.hands.deliver = delivered.extend
    bench.give(record(0), record(1), record(2, b"other"), record(3, None))
    settled(bench, bench.take())
    for number in (2, 3, 1):
        assert bench.take(0) == []
        [message] = delivered
        assert message.notification.payload == number
        delivered.clear()
        settled(bench, [message])
    assert delivered == []
    bench.give(record(4))
    assert bench.payloads() == [4]
    bench.close()


def test_what_an_abandoned_one_held_up_is_left_to_the_poll(bench: Bench) -> None:
    """It is noticed by the thread that polls, which must not get into an endpoint."""
    bench.hands.deliver = lambda _messages: pytest.fail("delivered by the thread that polls")
    bench.give(record(0), record(1))
    [message] = bench.take()
    bench.hands.abandon(message)
    assert bench.payloads() == [1]


def test_what_nobody_takes_any_more_is_left_to_the_poll(bench: Bench) -> None:
    """An executor refuses work once it is shut down; the notification is handed out once more."""

    def refuse(messages: list[Message]) -> None:
        for message in messages:
            bench.hands.abandon(message)  # as oslo.messaging's message does when it is dropped
        raise RuntimeError

    bench.hands.deliver = refuse
    bench.give(record(0), record(1))
    settled(bench, bench.take())
    again = bench.take()
    assert [one.notification.payload for one in again] == [1]
    settled(bench, again)
    assert bench.hands.in_hand == 0
    assert not bench.told


def test_an_undecodable_record_is_told_and_skipped(bench: Bench) -> None:
    """Its key waits for its dead letter, and no longer; its batch does not."""
    bench.give(record(0, value=b"not JSON"), record(1))
    bench.hands.hand_over([Unit((record(2, b"b"), record(3, b"b", value=b"{}")))])
    batch = bench.take()
    assert [one.notification.payload for one in batch] == [2]
    settled(bench, batch)
    assert bench.payloads(LONG_S) == [1]
    eventually(lambda: len(bench.cluster.records("t.info.dlq")) == 2, LONG_S, "the dead letters")
    kinds = {type(event) for event in bench.told}
    assert kinds == {events.RecordUndecodable, events.DeadLettered}


def test_a_revocation_hurries_what_is_parked(bench: Bench) -> None:
    """It is committed: it comes at once, and what stands behind it, before others go on."""
    bench.give(record(0), record(1))
    for _ in range(8):  # the next wait is 12.8 s
        settled(bench, bench.take(LONG_S), requeue=True)
        bench.hands.drain([Partition("t.info", 0)], 0)
    assert bench.hands.drain([Partition("t.info", 1)], 0) == 0
    assert bench.take(0) == []
    assert bench.hands.drain([Partition("t.info", 0)], 0) == 2
    for number in range(2):
        messages = bench.take(LONG_S)
        assert [one.notification.payload for one in messages] == [number]
        settled(bench, messages)
    assert bench.hands.drain([Partition("t.info", 0)], 0) == 0
    assert not bench.cluster.records("t.info.dlq")


def test_what_is_requeued_again_and_again_is_told(bench: Bench) -> None:
    """Its key stands still, so somebody should know: at the fourth time, the eighth…"""
    bench.give(record(0))
    for _ in range(5):
        settled(bench, bench.take(), requeue=True)
    [told] = bench.told
    assert isinstance(told, events.StillRequeued)
    assert (told.group, told.message_id, told.attempts) == ("g", "m", 4)
    assert 0.7 <= told.waited_s < LONG_S


def test_a_stop_hands_out_the_rest(bench: Bench) -> None:
    """What is parked comes once more at once, what stands in line after it; then it is over."""
    bench.give(record(0), record(1))
    for _ in range(4):  # the next wait is 0.8 s
        settled(bench, bench.take(), requeue=True)
    bench.hands.stop()
    assert bench.hands.drain(None, 0) == 2
    for number in range(2):
        messages = bench.take(LONG_S)
        assert [one.notification.payload for one in messages] == [number]
        settled(bench, messages)
    bench.over = True
    assert bench.take() == []
    assert not bench.cluster.records("t.info.dlq")


def test_what_is_requeued_during_a_stop_is_dead_lettered(bench: Bench) -> None:
    """It is committed, and this process will not hand it out again."""
    bench.give(record(0))
    messages = bench.take()
    bench.hands.stop()
    assert bench.hands.drain(None, 0) == 1
    settled(bench, messages, requeue=True)
    assert bench.hands.drain(None, LONG_S) == 0
    [dead] = bench.cluster.records("t.info.dlq")
    assert dead.value == record(0).value
    assert dict(dead.headers)["dlq.attempts"] == b"1"


def test_a_poll_wakes_up_for_what_comes(bench: Bench) -> None:
    """Handed over, or released by a settlement in another thread."""
    taken: list[list[Message]] = []
    thread = threading.Thread(target=lambda: taken.append(bench.take()))
    thread.start()
    bench.give(record(0), record(1))
    thread.join(LONG_S)
    [first] = taken
    thread = threading.Thread(target=lambda: taken.append(bench.take()))
    thread.start()
    settled(bench, first)
    thread.join(LONG_S)
    assert [one.notification.payload for messages in taken for one in messages] == [0, 1]
