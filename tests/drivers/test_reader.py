# SPDX-License-Identifier: Apache-2.0
"""What every driver's reader does: partitions by hand, no group, nothing committed."""

from __future__ import annotations

import pytest

from kafka_notify.core.message import Partition, Record
from kafka_notify.drivers.base import ReaderClient
from kafka_notify.drivers.memory import MemoryCluster
from kafka_notify.errors import BrokerError, ClosedError, RecordsGone
from tests.drivers.bench import TIMEOUT_S, Bench
from tests.waiting import eventually


def take(reader: ReaderClient, count: int) -> list[Record]:
    taken: list[Record] = []

    def enough() -> bool:
        taken.extend(reader.take(500, 0.1))
        return len(taken) >= count

    eventually(enough, TIMEOUT_S, f"{count} records")
    return taken


def values(records: list[Record]) -> list[bytes | None]:
    return [record.value for record in records]


def test_reads_from_the_offsets_it_was_given(bench: Bench, unique: str) -> None:
    """What lies before them does not come; what comes later does, in the partition's order."""
    partitions = bench.create(unique)
    bench.send(unique, [b"0", b"1", b"2"], key=b"k")
    reader = bench.reader()
    starts = reader.start_offsets(partitions, TIMEOUT_S)
    ends = reader.end_offsets(partitions, TIMEOUT_S)
    assert set(starts.values()) == {0}
    [written] = [one for one in partitions if ends[one]]
    reader.read_from({**ends, written: 1})
    bench.send(unique, [b"3"], key=b"k")
    taken = take(reader, 3)
    assert values(taken) == [b"1", b"2", b"3"]
    assert [record.offset for record in taken] == [1, 2, 3]


def test_every_reader_gets_everything(bench: Bench, unique: str) -> None:
    """Readers share nothing: each gets all records of all partitions."""
    partitions = bench.create(unique)
    readers = [bench.reader() for _ in range(2)]
    for reader in readers:
        reader.read_from(dict.fromkeys(partitions, 0))
    sent = [b"%d" % number for number in range(40)]
    bench.send(unique, sent)
    for reader in readers:
        assert sorted(map(bytes, values(take(reader, 40)))) == sorted(sent)


def test_no_group_comes_into_being(bench: Bench, unique: str) -> None:
    """A reader has no members and no offsets: the group whose name it bears stays free."""
    partitions = bench.create(unique)
    reader = bench.reader()
    reader.read_from(dict.fromkeys(partitions, 0))
    bench.send(unique, [b"x"], key=b"k")
    take(reader, 1)
    group = bench.settings.consumer_group
    assert not bench.admin.group_has_members(group, TIMEOUT_S)
    consumer = bench.consumer(unique)
    assert consumer.committed(partitions, TIMEOUT_S) == dict.fromkeys(partitions)


def test_reading_from_somewhere_else(bench: Bench, unique: str) -> None:
    """A second call takes the place of the first: partitions and offsets."""
    first, second, *_ = bench.create(unique)
    reader = bench.reader()
    reader.read_from({first: 0, second: 0})
    bench.send(unique, [b"%d" % number for number in range(40)])
    everything = take(reader, 1)
    reader.read_from({first: 0})
    again = take(reader, 1)
    assert {record.where for record in again} == {first}
    assert again[0].offset == 0
    assert everything


def test_a_question_that_fails_costs_no_record(bench: Bench, unique: str) -> None:
    """What has been fetched meanwhile comes all the same."""
    partitions = bench.create(unique)
    bench.send(unique, [b"0", b"1", b"2"], key=b"k")
    reader = bench.reader()
    reader.read_from(dict.fromkeys(partitions, 0))
    taken: list[Record] = []
    eventually(lambda: taken.extend(reader.take(1, 0.1)) or taken, TIMEOUT_S, "the first")
    with pytest.raises(BrokerError):
        reader.end_offsets([Partition(unique, 99)], 1.0)
    assert values(taken + take(reader, 2)) == [b"0", b"1", b"2"]


def test_partitions_are_counted_and_missing_topics_left_out(bench: Bench, unique: str) -> None:
    """A topic that exists has its partitions counted."""
    bench.create(unique)
    assert bench.reader().partition_counts([unique], TIMEOUT_S) == {unique: 4}


@pytest.mark.parametrize("kind", [pytest.param("kafka-consumer", marks=pytest.mark.functional)])
def test_asking_for_partitions_creates_no_topic(bench: Bench, unique: str) -> None:
    """Looking for a missing topic leaves it missing."""
    reader = bench.reader()
    assert reader.partition_counts([unique], TIMEOUT_S) == {}
    assert bench.admin.partition_counts([unique], TIMEOUT_S) == {}


@pytest.mark.parametrize(
    "kind", ["memory", pytest.param("kafka-consumer", marks=pytest.mark.functional)]
)
def test_what_is_gone_is_told(kind: str, bench: Bench, unique: str) -> None:
    """A reader whose next record was removed says so, and reads on from where it is sent."""
    where, other, *_ = bench.create(unique)
    bench.send(unique, [b"%d" % number for number in range(40)])
    ends = bench.reader().end_offsets([where], TIMEOUT_S)
    remove_below(kind, bench, where, ends[where] - 1)
    reader = bench.reader()
    reader.read_from({where: 0, other: 0})
    gone: list[RecordsGone] = []

    def told() -> bool:
        try:
            reader.take(500, 0.1)
        except RecordsGone as error:
            gone.append(error)
        return bool(gone)

    eventually(told, TIMEOUT_S, "the gap to be told")
    assert gone[0].partitions == (where,)
    starts = reader.start_offsets([where], TIMEOUT_S)
    assert starts == {where: ends[where] - 1}
    reader.read_from(starts)
    assert [record.offset for record in take(reader, 1)] == [ends[where] - 1]


def remove_below(kind: str, bench: Bench, where: Partition, offset: int) -> None:
    """Do what retention does."""
    if kind == "memory":
        name = bench.driver.address.removeprefix("memory://")
        MemoryCluster.find(name).forget(where.topic, where.number, offset)
        return
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": bench.driver.address})
    futures = admin.delete_records([TopicPartition(where.topic, where.number, offset)])
    for future in futures.values():
        future.result(TIMEOUT_S)


def test_a_closed_reader(bench: Bench, unique: str) -> None:
    """Closing twice is fine; a closed reader raises ClosedError that names the cluster."""
    reader = bench.reader()
    reader.close()
    reader.close()
    with pytest.raises(ClosedError, match=bench.driver.address):
        reader.take(1, 0.1)


@pytest.mark.parametrize("kind", [pytest.param("kafka-consumer", marks=pytest.mark.functional)])
def test_a_topic_that_is_made_anew(bench: Bench, unique: str) -> None:
    """Its records are others, whatever their offsets: what was next is gone, and told so."""
    where = bench.create(unique)[0]
    reader = bench.reader()
    reader.read_from({where: 0})
    write(bench, where, [b"%d" % number for number in range(5)])
    assert len(take(reader, 5)) == 5
    made_anew(bench, unique)
    write(bench, where, [b"new %d" % number for number in range(20)])
    gone: list[RecordsGone] = []

    def told() -> bool:
        try:
            assert reader.take(500, 0.1) == []
        except RecordsGone as error:
            gone.append(error)
        return bool(gone)

    eventually(told, TIMEOUT_S, "the new topic to be told")
    assert gone[0].partitions == (where,)
    reader.read_from(reader.start_offsets([where], TIMEOUT_S))
    assert [record.offset for record in take(reader, 20)] == list(range(20))


def write(bench: Bench, where: Partition, values: list[bytes]) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bench.driver.address})
    for value in values:
        producer.produce(where.topic, value, partition=where.number)
    assert producer.flush(TIMEOUT_S) == 0


def made_anew(bench: Bench, topic: str) -> None:
    """Delete a topic and make it again."""
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": bench.driver.address})
    admin.delete_topics([topic])[topic].result(TIMEOUT_S)
    eventually(
        lambda: not bench.admin.partition_counts([topic], TIMEOUT_S), TIMEOUT_S, "it to be gone"
    )
    bench.create(topic)
