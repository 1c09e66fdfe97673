# SPDX-License-Identifier: Apache-2.0
"""Workers: endpoints side by side, order per key, and an account of what is in hand."""

import sys
import threading

import pytest

from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Partition, Record
from kafka_notify.runtime.workers import Workers
from tests.waiting import eventually

BOUND_S = 10.0


def unit(number: int, key: bytes | None = None, partition: int = 0) -> Unit:
    return Unit([Record("t", partition, number, key, b"")])


@pytest.fixture
def make_workers():
    made = []

    def make(run, limit=8, discards=False):
        workers = Workers(run, limit=limit, name="test", discards=discards)
        made.append(workers)
        return workers

    yield make
    for workers in made:
        workers.close(BOUND_S)


def test_one_key_runs_in_order_in_one_thread_at_a_time(make_workers):
    """A hundred records of one key end in the order they came, with eight threads to take them."""
    seen = []
    workers = make_workers(lambda one: seen.append(one.records[0].offset))
    workers.hand_over([unit(number, b"k") for number in range(100)])
    assert workers.drain(None, BOUND_S) == 0
    assert seen == list(range(100))


def test_different_keys_run_side_by_side(make_workers):
    """Four endpoints that wait for each other all get going: none waits behind another's key."""
    meeting = threading.Barrier(4, timeout=BOUND_S)
    workers = make_workers(lambda _: meeting.wait())
    workers.hand_over([unit(number, bytes([number])) for number in range(4)])
    assert workers.drain(None, BOUND_S) == 0
    assert not meeting.broken


def test_records_without_a_key_run_side_by_side(make_workers):
    """Records sent without a key ask for no order and get none."""
    meeting = threading.Barrier(4, timeout=BOUND_S)
    workers = make_workers(lambda _: meeting.wait())
    workers.hand_over([unit(number) for number in range(4)])
    assert workers.drain(None, BOUND_S) == 0


def test_a_key_with_a_backlog_does_not_keep_others_waiting(make_workers):
    """One thread, a key of five records and one of a single record: keys take turns."""
    seen = []
    workers = make_workers(lambda one: seen.append(one.records[0].offset), limit=1)
    workers.hand_over([*(unit(number, b"long") for number in range(5)), unit(5, b"short")])
    assert workers.drain(None, BOUND_S) == 0
    assert seen == [0, 5, 1, 2, 3, 4]


@pytest.mark.parametrize("switch_s", [1e-6, 0.005])
@pytest.mark.parametrize("stays", [False, True])
def test_each_record_is_run_or_discarded_and_keys_keep_their_order(make_workers, stays, switch_s):
    """Many threads begin and end units while what has not begun is dropped, over and over."""
    ran = {key: [] for key in range(40)}
    never = threading.Event()

    def run(one):
        record = one.records[0]
        ran[record.offset % 40].append(record.offset)
        if record.offset % 50 == 0:
            never.wait(0.0005)  # slow enough for more threads to be woken

    workers = make_workers(run, limit=16, discards=True)
    before = sys.getswitchinterval()
    sys.setswitchinterval(switch_s)
    dropped = 0
    helpers = []
    try:
        for chunk in range(60):
            first = chunk * 200
            units = [unit(first + n, b"%d" % ((first + n) % 40)) for n in range(200)]
            go_on = workers.hand_over(units, stays=stays)
            if go_on is not None:
                helpers.append(threading.Thread(target=go_on))
                helpers[-1].start()
            workers.spread()
            dropped += workers.discard(None)
        assert workers.drain(None, BOUND_S) == 0
        for helper in helpers:
            helper.join(BOUND_S)
    finally:
        sys.setswitchinterval(before)
    assert sum(map(len, ran.values())) + dropped == 60 * 200
    assert dropped
    assert all(offsets == sorted(set(offsets)) for offsets in ran.values())
    assert workers.in_hand == 0


def test_no_more_threads_than_the_limit(make_workers):
    """A thousand keys do not make a thousand threads."""
    threads = set()
    workers = make_workers(lambda _: threads.add(threading.current_thread()), limit=3)
    workers.hand_over([unit(number, str(number).encode()) for number in range(1000)])
    assert workers.drain(None, BOUND_S) == 0
    assert 1 <= len(threads) <= 3


def test_drain_counts_the_partitions_asked_for(make_workers):
    """What hangs in one partition does not keep another from being drained."""
    release = threading.Event()
    workers = make_workers(lambda one: one.records[0].partition == 0 and release.wait(BOUND_S))
    workers.hand_over([unit(0, b"a", partition=0), unit(0, b"b", partition=1)])
    assert workers.drain([Partition("t", 1)], BOUND_S) == 0
    assert workers.drain([Partition("t", 0)], 0.01) == 1
    assert workers.in_hand == 1
    release.set()
    assert workers.drain(None, BOUND_S) == 0


def test_room_comes_when_records_are_through(make_workers):
    """A full window opens again as endpoints end."""
    release = threading.Event()
    workers = make_workers(lambda _: release.wait(BOUND_S))
    workers.hand_over([unit(0, b"a"), unit(1, b"a")])
    assert not workers.wait_for_room(lambda: workers.busy <= 1, 0.01)
    release.set()
    assert workers.wait_for_room(lambda: workers.busy == 0, BOUND_S)


def test_close_does_not_wait_for_ever(make_workers):
    """A thread that hangs in an endpoint is left behind after the bound."""
    release = threading.Event()
    workers = make_workers(lambda _: release.wait(BOUND_S))
    workers.hand_over([unit(0)])
    workers.close(0.05)
    release.set()


def test_a_thread_that_stays_works_as_one_of_ours(make_workers):
    """It runs what it has handed over, in order, and nobody is woken for it."""
    seen = []
    workers = make_workers(
        lambda one: seen.append(
            (
                one.records[0].offset,
                threading.get_ident(),
                workers.is_mine(threading.current_thread()),
            )
        )
    )
    go_on = workers.hand_over([unit(0, b"a"), unit(1, b"a"), unit(2, b"b")], stays=True)
    assert not seen
    go_on()
    me = threading.get_ident()
    assert sorted(seen) == [(number, me, True) for number in range(3)]
    assert not workers.is_mine(threading.current_thread())
    assert workers.in_hand == 0


def test_only_one_thread_stays(make_workers):
    """While one is at work, others that come have theirs run by it, or by threads of ours."""
    entered, release = threading.Event(), threading.Event()
    seen = []

    def run(one):
        if one.records[0].offset == 0:
            entered.set()
            assert release.wait(BOUND_S)
        seen.append(one.records[0].offset)

    workers = make_workers(run)
    go_on = workers.hand_over([unit(0, b"a")], stays=True)
    helper = threading.Thread(target=go_on)
    helper.start()
    assert entered.wait(BOUND_S)
    assert workers.hand_over([unit(1, b"b"), unit(2, b"a")], stays=True) is None
    assert workers.drain([Partition("t", 9)], BOUND_S) == 0
    eventually(lambda: workers.spread() or seen == [1], BOUND_S, "a thread of ours took the other")
    release.set()
    helper.join(BOUND_S)
    assert workers.drain(None, BOUND_S) == 0
    assert seen == [1, 0, 2]


def test_a_thread_that_stayed_may_come_again(make_workers):
    """However often, and with threads of our own between."""
    seen = []
    workers = make_workers(lambda one: seen.append(one.records[0].offset))
    for number in range(0, 300, 3):
        go_on = workers.hand_over([unit(number, b"a"), unit(number + 1, b"a")], stays=True)
        workers.hand_over([unit(number + 2, b"a")])
        if go_on is not None:
            go_on()
    assert workers.drain(None, BOUND_S) == 0
    assert seen == list(range(300))


def test_quick_endpoints_are_run_in_the_order_they_came(make_workers):
    """Whatever their keys; also what is handed over meanwhile, and by one thread alone."""
    seen, threads = [], set()

    def run(one):
        seen.append(one.records[0].offset)
        threads.add(threading.get_ident())
        if one.records[0].offset == 1:
            assert workers.hand_over([unit(5, b"a"), unit(6)], stays=True) is None

    workers = make_workers(run)
    workers.hand_over([unit(n, b"%d" % (n % 2)) for n in range(5)], stays=True)()
    assert seen == list(range(7))
    assert threads == {threading.get_ident()}
    assert workers.in_hand == 0


def test_slow_endpoints_in_line_are_run_side_by_side(make_workers):
    """The first few tell that they are slow; the others meet in threads of ours."""
    meeting = threading.Barrier(4, timeout=BOUND_S)

    def run(one):
        if one.records[0].offset < 8:
            threading.Event().wait(0.001)
        else:
            meeting.wait()

    workers = make_workers(run)
    workers.hand_over([unit(n, b"%d" % n) for n in range(12)], stays=True)()
    assert workers.drain(None, BOUND_S) == 0
    assert not meeting.broken


def test_room_is_told_of_before_the_last_of_a_line_begins(make_workers):
    """Who waits for room need not wait for an endpoint that takes long."""
    release = threading.Event()
    workers = make_workers(lambda one: one.records[0].offset == 4 and release.wait(BOUND_S))
    helper = threading.Thread(
        target=workers.hand_over([unit(n, b"a") for n in range(5)], stays=True)
    )
    helper.start()
    assert workers.wait_for_room(lambda: workers.busy <= 1, BOUND_S)
    release.set()
    helper.join(BOUND_S)
    assert workers.in_hand == 0


def test_an_error_in_line_ends_its_thread_and_nothing_else(make_workers):
    """What stood behind is run by others, and the account is closed."""
    seen = []

    def run(one):
        if one.records[0].offset == 1:
            raise SystemExit("no endpoint's doing")
        seen.append(one.records[0].offset)

    workers = make_workers(run)
    with pytest.raises(SystemExit):
        workers.hand_over([unit(n, b"a") for n in range(4)], stays=True)()
    assert workers.drain(None, BOUND_S) == 0
    assert seen == [0, 2, 3]


def test_close_leaves_a_thread_that_stayed_in_its_endpoint(make_workers):
    """It is nobody's to join; threads of ours, asleep or not, end all the same."""
    entered, release = threading.Event(), threading.Event()

    def run(one):
        if one.records[0].offset == 0:
            entered.set()
            assert release.wait(BOUND_S)

    workers = make_workers(run)
    helper = threading.Thread(target=workers.hand_over([unit(0, b"a")], stays=True))
    helper.start()
    assert entered.wait(BOUND_S)
    workers.hand_over([unit(number) for number in range(1, 4)])
    eventually(lambda: workers.spread() or workers.in_hand == 1, BOUND_S, "the others are through")
    workers.close(BOUND_S)
    ours = [one for one in threading.enumerate() if one.name.startswith("test-")]
    release.set()
    helper.join(BOUND_S)
    assert not ours
    assert not helper.is_alive()
    assert workers.in_hand == 0
