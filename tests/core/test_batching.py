# SPDX-License-Identifier: Apache-2.0
"""Batches close by size or by the time since their first record."""

import pytest

from kafka_notify.core.batching import Batcher, BatchRule
from kafka_notify.core.message import Partition, Record
from kafka_notify.errors import ConfigurationError


def records(*offsets: int, partition: int = 0) -> list[Record]:
    return [Record("t", partition, offset, b"k", b"") for offset in offsets]


def offsets(units) -> list[list[int]]:
    return [[record.offset for record in unit.records] for unit in units]


def test_without_a_rule_each_record_is_a_unit():
    """A plain listener dispatches each notification by itself, at once."""
    batcher = Batcher(None)
    assert offsets(batcher.add(records(0, 1, 2), 0.0)) == [[0], [1], [2]]
    assert batcher.open_records == 0


def test_a_batch_closes_at_its_size():
    """Five records at size two are two batches and one record that waits."""
    batcher = Batcher(BatchRule(size=2, timeout_s=10))
    assert offsets(batcher.add(records(0, 1, 2, 3, 4), 0.0)) == [[0, 1], [2, 3]]
    assert batcher.open_records == 1


def test_a_batch_closes_after_its_time():
    """The time counts from the batch's first record, not from its last."""
    batcher = Batcher(BatchRule(size=10, timeout_s=5))
    batcher.add(records(0), 100.0)
    batcher.add(records(1), 104.0)
    assert batcher.wait_s(104.0, 60.0) == 1.0
    assert batcher.due(104.9) == []
    assert offsets(batcher.due(105.0)) == [[0, 1]]
    assert batcher.wait_s(105.0, 60.0) == 60.0


def test_without_a_time_a_batch_waits_until_it_is_full():
    """batch_timeout=None never closes a batch early."""
    batcher = Batcher(BatchRule(size=2, timeout_s=None))
    batcher.add(records(0), 0.0)
    assert batcher.due(1e9) == []
    assert offsets(batcher.add(records(1), 1e9)) == [[0, 1]]


def test_dropped_partitions_leave_the_open_batch():
    """What belongs to another member now is read by him; the rest stays, and its time with it."""
    batcher = Batcher(BatchRule(size=10, timeout_s=5))
    batcher.add(records(0, 1) + records(7, partition=1), 0.0)
    assert batcher.drop({Partition("t", 0)}) == 2
    assert offsets(batcher.due(5.0)) == [[7]]


def test_an_emptied_batch_is_never_due():
    """Dropping everything closes nothing later."""
    batcher = Batcher(BatchRule(size=10, timeout_s=5))
    batcher.add(records(0), 0.0)
    batcher.drop({Partition("t", 0)})
    assert batcher.due(100.0) == []


@pytest.mark.parametrize(
    ("size", "timeout_s", "named"), [(0, 1, "batch_size 0"), (1, -1, "batch_timeout -1")]
)
def test_impossible_rules_are_refused(size, timeout_s, named):
    """The error names the argument and the value."""
    with pytest.raises(ConfigurationError, match=named):
        BatchRule(size=size, timeout_s=timeout_s)
