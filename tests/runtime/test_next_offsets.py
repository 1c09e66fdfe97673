# SPDX-License-Identifier: Apache-2.0
"""What is committed for units that go to the endpoints."""

from __future__ import annotations

from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Partition, Record
from kafka_notify.runtime.commit_before import next_offsets


def test_the_offset_after_the_last_record_of_each_partition() -> None:
    """Of all units together."""
    units = [
        Unit((Record("t", 1, 7, None, b""), Record("t", 2, 3, None, b""))),
        Unit((Record("t", 1, 9, None, b""),)),
    ]
    assert next_offsets(units) == {Partition("t", 1): 10, Partition("t", 2): 4}
    assert all(isinstance(where, Partition) for where in next_offsets(units))
