# SPDX-License-Identifier: Apache-2.0
"""The made-up notifications are of the shape and size of Nova's."""

from __future__ import annotations

import orjson

from kafka_notify.core.message import PRIORITIES
from kafka_notify.demo.samples import Sample, sample_notifications


def size_bytes(sample: Sample) -> int:
    return len(orjson.dumps(sample._asdict()))


def test_they_have_the_sizes_of_novas() -> None:
    """Nova's documented samples have 0.3 to 3.3 kB, most of them about 2.3 kB."""
    sizes = sorted(size_bytes(sample) for sample in sample_notifications(1000))

    assert sizes[0] >= 300
    assert sizes[-1] <= 3300
    assert 1500 <= sizes[500] <= 2500


def test_they_are_versioned_objects_of_several_publishers() -> None:
    """Order is per publisher, so a demo needs several; priorities are info and error."""
    samples = list(sample_notifications(500))

    assert len({sample.publisher_id for sample in samples}) >= 5
    assert {sample.priority for sample in samples} == {"info", "error"}
    assert {sample.priority for sample in samples} <= set(PRIORITIES)
    assert all(
        set(sample.payload)
        == {"nova_object.name", "nova_object.namespace", "nova_object.version", "nova_object.data"}
        for sample in samples
    )


def test_the_same_seed_gives_the_same_notifications() -> None:
    """Runs can be compared."""
    assert list(sample_notifications(50)) == list(sample_notifications(50))
    assert list(sample_notifications(50)) != list(sample_notifications(50, seed=1))
