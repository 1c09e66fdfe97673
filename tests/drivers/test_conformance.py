# SPDX-License-Identifier: Apache-2.0
"""What every driver does, whatever it is made of."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kafka_notify.core.message import Partition
from kafka_notify.core.offsets import LONGEST_NOTE
from kafka_notify.drivers.base import PendingCommit
from kafka_notify.errors import AssignmentLost, ClosedError, DeliveryRefused
from tests.drivers.bench import TIMEOUT_S, Bench, take_until
from tests.waiting import eventually

FORKING = Path(__file__).with_name("forking.py")


def numbered(count: int, prefix: str = "") -> list[bytes]:
    return [f"{prefix}{number}".encode() for number in range(count)]


# --- topics


def test_created_topics_exist_and_creating_again_is_no_error(bench: Bench, unique: str) -> None:
    """A topic that is created is there at once; one that exists counts as created."""
    bench.create(unique)
    bench.create(unique)
    assert bench.admin.partition_counts([unique, f"{unique}.missing"], TIMEOUT_S) == {unique: 4}


def test_asking_for_a_topic_does_not_create_it(bench: Bench, unique: str) -> None:
    """Looking for a missing topic leaves it missing."""
    assert bench.admin.partition_counts([unique], TIMEOUT_S) == {}
    assert bench.admin.partition_counts([unique], TIMEOUT_S) == {}


# --- sending


def test_each_record_is_reported_on_once(bench: Bench, unique: str) -> None:
    """Every queued record has exactly one report, with its token and its place in the log."""
    bench.create(unique)
    producer = bench.producer()
    for number in range(1000):
        producer.send(unique, b"x", key=b"%d" % (number % 7), token=number)
    assert producer.flush(TIMEOUT_S) == 0
    assert sorted(report.token for report in bench.reports) == list(range(1000))
    assert {report.error for report in bench.reports} == {None}
    assert {report.topic for report in bench.reports} == {unique}
    assert len({(report.partition, report.offset) for report in bench.reports}) == 1000


def test_what_is_delivered_is_counted_where_only_failures_are_reported(
    bench: Bench, unique: str
) -> None:
    """Nothing is reported of 1,000 records that are in the log, and all of them are counted."""
    bench.create(unique)
    producer = bench.producer(failures_only=True)
    for number in range(1000):
        producer.send(unique, b"x", key=b"%d" % number, token=number)
    assert producer.flush(TIMEOUT_S) == 0
    assert producer.delivered() == 1000
    assert bench.reports == []


def test_failures_are_reported_where_only_they_are(bench: Bench, unique: str) -> None:
    """What is given up has its report, with its value for a token, and is not delivered."""
    bench.create(unique)
    producer = bench.producer(failures_only=True)
    for number in range(1000):
        headers = [("a", b"b")] if number % 10 == 0 else []
        producer.send(unique, b"%d" % number, key=None, headers=headers, token="not kept")
    producer.purge()
    assert producer.flush(TIMEOUT_S) == 0
    failed = [report.token for report in bench.reports if report.error]
    assert len(bench.reports) == len(failed) == len(set(failed))
    assert {int(value) for value in failed} <= set(range(1000))
    assert producer.delivered() + len(failed) == 1000


def test_records_of_a_key_stay_in_order_on_one_partition(bench: Bench, unique: str) -> None:
    """Records of one key share a partition and arrive in the order they were sent."""
    bench.create(unique)
    producer = bench.producer()
    for number in range(200):
        producer.send(unique, b"%d" % number, key=b"k%d" % (number % 5))
    assert producer.flush(TIMEOUT_S) == 0
    member = bench.member(unique, unique)
    take_until([member], lambda: len(member.records) >= 200, "all records")
    for key in (b"k0", b"k1", b"k2", b"k3", b"k4"):
        mine = [record for record in member.records if record.key == key]
        assert len({record.partition for record in mine}) == 1
        assert [int(record.value or b"") for record in mine] == list(range(int(key[1:]), 200, 5))


def test_a_record_travels_whole(bench: Bench, unique: str) -> None:
    """Key, value, headers and their order arrive as sent; a timestamp and the place are added."""
    bench.create(unique)
    headers = [("a", b"1"), ("b", b""), ("a", b"2")]
    producer = bench.producer()
    producer.send(unique, b"\x00\xff", key=b"\x01", headers=headers)
    producer.send(unique, b"", key=None)
    assert producer.flush(TIMEOUT_S) == 0
    member = bench.member(unique, unique)
    take_until([member], lambda: len(member.records) == 2, "both records")
    with_key, without = sorted(member.records, key=lambda record: record.key is None)
    assert (with_key.key, with_key.value, with_key.headers) == (
        b"\x01",
        b"\x00\xff",
        tuple(headers),
    )
    assert (without.key, without.value, without.headers) == (None, b"", ())
    assert with_key.timestamp_ms > 0


def test_a_record_over_the_limit_is_refused_at_once(bench: Bench, unique: str) -> None:
    """A record over max_record_bytes raises DeliveryRefused that names the limit's option."""
    bench.create(unique)
    producer = bench.producer()
    with pytest.raises(DeliveryRefused, match="max_record_bytes"):
        producer.send(unique, bytes(bench.settings.max_record_bytes + 1), key=None)
    producer.send(unique, b"small", key=None, token="small")
    assert producer.flush(TIMEOUT_S) == 0
    assert [report.token for report in bench.reports] == ["small"]


# --- receiving


def test_first_record_is_returned_at_once(bench: Bench, unique: str) -> None:
    """A take of many records returns with the first one, long before its time is out."""
    bench.create(unique)
    member = bench.member(unique, unique)
    take_until([member], lambda: len(member.assigned) == 4, "the assignment")
    bench.send(unique, [b"warm-up"])
    take_until([member], lambda: member.values == [b"warm-up"], "the warm-up")
    bench.send(unique, [b"one"])
    started = time.monotonic()
    taken = member.consumer.take(500, 20.0)
    assert [record.value for record in taken] == [b"one"]
    assert time.monotonic() - started < 5.0


def test_take_returns_no_more_than_asked_for(bench: Bench, unique: str) -> None:
    """The limit holds, and what was left comes with the next take."""
    bench.create(unique)
    bench.send(unique, numbered(10), key=b"k")
    member = bench.member(unique, unique)
    sizes = []

    def all_there() -> bool:
        taken = member.consumer.take(3, 0.1)
        sizes.append(len(taken))
        member.records += taken
        return len(member.records) == 10

    eventually(all_there, TIMEOUT_S, "all records")
    assert max(sizes) <= 3
    assert member.values == numbered(10)


def test_members_share_the_partitions(bench: Bench, unique: str) -> None:
    """Two members of a group own half of the partitions each, and each record goes to one."""
    bench.create(unique)
    first, second = (bench.member(unique, unique) for _ in range(2))
    take_until(
        [first, second],
        lambda: len(first.assigned) == len(second.assigned) == 2,
        "the partitions to be shared",
    )
    assert not first.assigned & second.assigned
    bench.send(unique, numbered(100))
    take_until([first, second], lambda: len(first.records + second.records) == 100, "all records")
    assert sorted(map(str, first.values + second.values)) == sorted(map(str, numbered(100)))
    for member in (first, second):
        assert {record.where for record in member.records} <= member.assigned


def test_each_pool_gets_everything(bench: Bench, unique: str) -> None:
    """Two groups get all records each."""
    bench.create(unique)
    members = [bench.member(f"{unique}.{name}", unique) for name in ("a", "b")]
    bench.send(unique, numbered(20), key=b"k")
    take_until(members, lambda: all(len(member.records) == 20 for member in members), "all twice")
    assert [member.values for member in members] == [numbered(20)] * 2


def test_later_topic_is_read_from_its_start(kind: str, bench: Bench, unique: str) -> None:
    """A subscribed topic that appears later is read from its first record, within 10 s."""
    if kind == "embedded-consumer":
        pytest.skip("librdkafka's mock assigns topics of KIP-848 members only when one joins")
    bench.create(f"{unique}.there")
    member = bench.member(unique, f"{unique}.there", f"{unique}.later")
    take_until([member], lambda: len(member.assigned) == 4, "the first topic")
    bench.create(f"{unique}.later")
    bench.send(f"{unique}.later", numbered(3), key=b"k")
    take_until([member], lambda: len(member.records) >= 3, "the later topic", timeout_s=10.0)
    assert member.values == numbered(3)


def test_paused_partitions_wait(bench: Bench, unique: str) -> None:
    """Records of paused partitions come after the resume, those of the others at once."""
    bench.create(unique)
    member = bench.member(unique, unique)
    take_until([member], lambda: len(member.assigned) == 4, "the assignment")
    bench.send(unique, [b"first"], key=b"a")
    take_until([member], lambda: len(member.records) == 1, "the first record")
    paused = member.records[0].where
    other_key = next(
        key
        for key in (b"%d" % n for n in range(100))
        if _partition_of(bench, unique, key) != paused
    )
    take_until([member], lambda: len(member.records) > 1, "the probes")
    member.take()
    member.consumer.pause([paused])
    member.records.clear()
    bench.send(unique, [b"held"], key=b"a")
    bench.send(unique, [b"free"], key=other_key)
    take_until([member], lambda: b"free" in member.values, "the other partition")
    member.take(0.5)
    assert b"held" not in member.values
    member.consumer.resume([paused])
    take_until([member], lambda: b"held" in member.values, "the paused partition")
    assert member.values.count(b"held") == 1


def _partition_of(bench: Bench, topic: str, key: bytes) -> Partition:
    bench.send(topic, [b"probe"], key=key)
    return Partition(topic, bench.reports[-1].partition)


# --- offsets


def test_offsets_of_a_fresh_group(bench: Bench, unique: str) -> None:
    """A group that never committed has none; partitions start at 0 and end after their records."""
    partitions = bench.create(unique)
    bench.send(unique, numbered(5), key=b"k")
    consumer = bench.consumer(unique)
    assert consumer.committed(partitions, TIMEOUT_S) == dict.fromkeys(partitions)
    assert consumer.start_offsets(partitions, TIMEOUT_S) == dict.fromkeys(partitions, 0)
    ends = consumer.end_offsets(partitions, TIMEOUT_S)
    assert ends.keys() == set(partitions)
    assert sorted(ends.values()) == [0, 0, 0, 5]


def test_no_partitions_no_question(bench: Bench, unique: str) -> None:
    """Asking or committing for no partitions does nothing."""
    consumer = bench.consumer(unique)
    assert consumer.committed([], TIMEOUT_S) == {}
    assert consumer.start_offsets([], TIMEOUT_S) == {}
    assert consumer.end_offsets([], TIMEOUT_S) == {}
    consumer.commit({})


def test_commit_before_joining_sets_where_the_group_starts(bench: Bench, unique: str) -> None:
    """A consumer that has not joined commits for a new group; its members go on from there."""
    partitions = bench.create(unique)
    bench.send(unique, numbered(3, "old"), key=b"k")
    consumer = bench.consumer(unique)
    ends = consumer.end_offsets(partitions, TIMEOUT_S)
    consumer.commit(ends)
    assert consumer.committed(partitions, TIMEOUT_S) == ends
    bench.send(unique, numbered(2, "new"), key=b"k")
    member = bench.member(unique, unique)
    take_until([member], lambda: len(member.records) >= 2, "the new records")
    assert member.values == numbered(2, "new")


def test_a_note_is_kept_beside_its_offset(bench: Bench, unique: str) -> None:
    """Until the next commit, which brings its own or none; as long as a note may be."""
    first, second, *_ = bench.create(unique)
    consumer = bench.consumer(unique)
    note = "kn1:" + "~" * (LONGEST_NOTE - 4)
    consumer.commit({first: 0, second: 0}, {first: note})
    assert consumer.notes([first, second], TIMEOUT_S) == {first: note, second: ""}
    consumer.commit({first: 0})
    assert consumer.notes([first], TIMEOUT_S) == {first: ""}


def test_a_consumer_commits_and_then_joins(bench: Bench, unique: str) -> None:
    """One client may commit for an empty group and then become its member."""
    partitions = bench.create(unique)
    bench.send(unique, numbered(3, "old"), key=b"k")
    consumer = bench.consumer(unique)
    consumer.commit(consumer.end_offsets(partitions, TIMEOUT_S))
    assigned: list[Partition] = []
    consumer.subscribe(
        [unique], on_assigned=assigned.extend, on_revoked=lambda _: None, on_lost=lambda _: None
    )
    bench.send(unique, numbered(1, "new"), key=b"k")
    records = eventually(lambda: consumer.take(500, 0.1), TIMEOUT_S, "the new record")
    assert [record.value for record in records] == [b"new0"]
    assert sorted(assigned) == partitions


def test_commit_from_outside_is_refused_while_there_are_members(bench: Bench, unique: str) -> None:
    """Nobody but members commits for a group that has some."""
    partitions = bench.create(unique)
    member = bench.member(unique, unique)
    take_until([member], lambda: len(member.assigned) == 4, "the assignment")
    member.consumer.commit(dict.fromkeys(partitions, 0))
    outsider = bench.consumer(unique)
    with pytest.raises(AssignmentLost, match=unique):
        outsider.commit(dict.fromkeys(partitions, 0))
    assert outsider.committed(partitions, TIMEOUT_S) == dict.fromkeys(partitions, 0)


def test_a_member_commits_only_what_it_owns(bench: Bench, unique: str) -> None:
    """A commit for partitions of another member raises AssignmentLost and stores nothing."""
    partitions = bench.create(unique)
    first, second = (bench.member(unique, unique) for _ in range(2))
    take_until(
        [first, second],
        lambda: len(first.assigned) == len(second.assigned) == 2,
        "the partitions to be shared",
    )
    with pytest.raises(AssignmentLost, match=unique):
        first.consumer.commit(dict.fromkeys(partitions, 0))
    assert first.consumer.committed(partitions, TIMEOUT_S) == dict.fromkeys(partitions)
    first.consumer.commit(dict.fromkeys(first.assigned, 0))


@pytest.mark.parametrize("is_lent", [True, False])
def test_a_commit_in_another_thread(bench: Bench, unique: str, is_lent: bool) -> None:
    """One that somebody lends, or the client's own; whoever waits hears what became of it."""
    partitions = bench.create(unique)
    member = bench.member(unique, unique)
    take_until([member], lambda: len(member.assigned) == 4, "the assignment")

    def make(commit: PendingCommit) -> None:
        if is_lent:
            lent = threading.Thread(target=commit.run)
            lent.start()
            lent.join(TIMEOUT_S)
        else:
            commit.start()
        commit.result()

    make(member.consumer.begin_commit(dict.fromkeys(partitions, 3)))
    assert member.consumer.committed(partitions, TIMEOUT_S) == dict.fromkeys(partitions, 3)
    with pytest.raises(AssignmentLost, match=unique):
        make(bench.consumer(unique).begin_commit(dict.fromkeys(partitions, 0)))
    assert member.consumer.committed(partitions, TIMEOUT_S) == dict.fromkeys(partitions, 3)


# --- rebalancing


def test_leaving_hands_over_what_was_not_committed(bench: Bench, unique: str) -> None:
    """After close another member goes on from the committed offsets."""
    bench.create(unique)
    bench.send(unique, numbered(4), key=b"k")
    leaving = bench.member(unique, unique)
    take_until([leaving], lambda: len(leaving.records) == 4, "all records")
    leaving.consumer.commit({leaving.records[0].where: 2})
    leaving.consumer.close()
    assert leaving.assigned == set()
    staying = bench.member(unique, unique)
    take_until([staying], lambda: len(staying.records) >= 2, "the rest")
    assert staying.values == numbered(4)[2:]
    assert len(staying.assigned) == 4


def test_revoked_runs_before_partitions_are_given_up(bench: Bench, unique: str) -> None:
    """A commit inside on_revoked counts: the next owner goes on from it."""
    bench.create(unique)
    bench.send(unique, numbered(4), key=b"k")
    member = bench.member(unique, unique)
    take_until([member], lambda: len(member.records) == 4, "all records")
    member.on_revoked = lambda: member.consumer.commit({member.records[0].where: 3})
    member.consumer.close()
    kinds = [kind for kind, partitions in member.events if partitions]
    assert (kinds[0], kinds[-1]) == ("assigned", "revoked")
    after = bench.member(unique, unique)
    take_until([after], lambda: len(after.records) >= 1, "the rest")
    assert after.values == numbered(4)[3:]


def test_commits_inside_the_callbacks_of_take_count(kind: str, bench: Bench, unique: str) -> None:
    """A member commits when partitions come, and when a newcomer makes it give some up."""
    if kind == "embedded-classic":
        pytest.skip("librdkafka's mock takes no commits while a classic group rebalances")
    bench.create(unique)
    bench.send(unique, numbered(40))
    first = bench.member(unique, unique)
    first.on_assigned = lambda: first.consumer.commit(dict.fromkeys(first.assigned, 0))
    take_until([first], lambda: len(first.records) == 40, "all records")
    assert set(first.consumer.committed(sorted(first.assigned), TIMEOUT_S).values()) == {0}
    ends = {record.where: record.offset + 1 for record in first.records}
    first.on_assigned = lambda: None
    first.on_revoked = lambda: first.consumer.commit({one: ends[one] for one in first.assigned})
    second = bench.member(unique, unique)
    take_until([first, second], lambda: len(second.assigned) == 2, "the second's share")
    bench.send(unique, [b"new"] * 8)
    take_until([first, second], lambda: len(first.records + second.records) >= 48, "the new ones")
    assert set(second.values) == {b"new"}


def test_each_partition_goes_before_it_comes_again(bench: Bench, unique: str) -> None:
    """When a second member joins, the first is told what it keeps, and owns nothing twice."""
    bench.create(unique)
    first = bench.member(unique, unique)
    take_until([first], lambda: len(first.assigned) == 4, "the first assignment")
    second = bench.member(unique, unique)
    take_until(
        [first, second],
        lambda: len(first.assigned) == len(second.assigned) == 2,
        "the partitions to be shared",
    )
    owned: set[Partition] = set()
    for kind, partitions in first.events:
        if kind == "assigned":
            assert not owned & set(partitions)
            owned |= set(partitions)
        else:
            assert owned >= set(partitions)
            owned -= set(partitions)
    assert owned == first.assigned


def test_an_error_of_a_callback_comes_out_of_take(bench: Bench, unique: str) -> None:
    """What a rebalance callback raises is not swallowed, and the client goes on."""
    bench.create(unique)
    consumer = bench.consumer(unique)

    def fail(_: object) -> None:
        raise LookupError("of the callback")

    consumer.subscribe(
        [unique], on_assigned=fail, on_revoked=lambda _: None, on_lost=lambda _: None
    )
    with pytest.raises(LookupError, match="of the callback"):
        eventually(lambda: consumer.take(500, 0.1), TIMEOUT_S, "the callback's error")
    bench.send(unique, [b"x"])
    records = eventually(lambda: consumer.take(500, 0.1), TIMEOUT_S, "the record")
    assert [record.value for record in records] == [b"x"]


# --- the end


def test_closed_clients(bench: Bench, unique: str) -> None:
    """Closing twice is fine; a closed client raises ClosedError that names the cluster."""
    bench.create(unique)
    producer, consumer = bench.producer(), bench.consumer(unique)
    for client in (producer, consumer, producer, consumer):
        client.close()
    with pytest.raises(ClosedError, match=bench.driver.address):
        producer.send(unique, b"x", key=None)
    with pytest.raises(ClosedError, match=bench.driver.address):
        consumer.take(1, 0.1)


def test_unsent_records_are_reported_on_at_close(bench: Bench, unique: str) -> None:
    """Close reports on what it gives up: nothing is forgotten in silence."""
    bench.create(unique)
    producer = bench.producer()
    for number in range(100):
        producer.send(unique, b"x", key=None, token=number)
    producer.close()
    assert sorted(report.token for report in bench.reports) == list(range(100))


def test_at_close_what_is_delivered_and_what_is_not_add_up(bench: Bench, unique: str) -> None:
    """Also where only failures are reported: close counts, and reports on, what it ends."""
    bench.create(unique)
    producer = bench.producer(failures_only=True)
    for number in range(1000):
        producer.send(unique, b"%d" % number, key=None)
    producer.close()
    failed = {report.token for report in bench.reports if report.error}
    assert len(bench.reports) == len(failed)
    assert producer.delivered() + len(failed) == 1000


def test_child_of_fork_leaves_its_parents_clients_alone(cluster_url: str, unique: str) -> None:
    """A child abandons, opens its own clients and exits; the parent's go on as if nothing was."""
    done = subprocess.run(
        [sys.executable, str(FORKING), cluster_url, unique],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["child", "parent"]), done.stderr
