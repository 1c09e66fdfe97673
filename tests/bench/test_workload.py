# SPDX-License-Identifier: Apache-2.0
"""What everybody sends and receives in a comparison, and how it is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kafka_notify.bench.child import Arrivals, Stopwatch, peak_mb, percentiles
from kafka_notify.bench.workload import pause_s, record_of, samples, sized
from kafka_notify.core.envelope import decode
from kafka_notify.errors import ConfigurationError


@pytest.mark.parametrize("size", [2_000, 20_000, 900_000])
def test_records_of_a_size(size: int) -> None:
    """As large as asked for, a payload's size less at most, and still notifications."""
    (one,) = sized(samples(), size)

    _, value = record_of(one)

    assert size - 5_000 < len(value) <= size * 1.001
    assert decode(value).payload == one.payload


def test_the_smallest_record() -> None:
    """Nothing smaller is made up: it is the smallest of the notifications."""
    (one,) = sized(samples(), 1)

    assert len(record_of(one)[1]) == min(len(record_of(other)[1]) for other in samples())


def test_pauses_are_spread_evenly() -> None:
    """From the least to the most, with the mean between them; the same for each number."""
    pauses = [pause_s(number, 0.001, 0.005) for number in range(10_000)]

    assert 0.001 <= min(pauses) < 0.00101
    assert 0.00499 < max(pauses) < 0.005
    assert sum(pauses) / len(pauses) == pytest.approx(0.003, rel=0.01)
    assert pauses[1] == pytest.approx(0.001 + 0.004 * 2_654_435_761 / 2**32)


def test_notifications_of_a_file(tmp_path: Path) -> None:
    """JSON lines; all are sent with one priority."""
    path = tmp_path / "some.jsonl"
    line = {"priority": "ERROR", "publisher_id": "p", "event_type": "e", "payload": {"a": 1}}
    path.write_text(json.dumps(line) + "\n")

    assert samples(str(path)) == [("info", "p", "e", {"a": 1})]


@pytest.mark.parametrize("content", ["", "{}\n", "no json\n"])
def test_a_file_without_notifications_is_refused(tmp_path: Path, content: str) -> None:
    """Before anything is measured, with its name."""
    path = tmp_path / "some.jsonl"
    path.write_text(content)

    with pytest.raises(ConfigurationError, match=r"some\.jsonl"):
        samples(str(path))


def test_the_first_arrivals_start_the_clock() -> None:
    """What came with them took no time that was measured, and is left out of the rate."""
    arrivals = Arrivals(600)
    arrivals.add(500)
    watch = Stopwatch()
    arrivals.add(100)

    figures = arrivals.wait()

    assert figures["count"] == 600
    assert figures["rate"] == pytest.approx(100 / figures["seconds"])
    assert figures["ended_s"] >= watch.began_s


def test_percentiles() -> None:
    """In milliseconds."""
    found = percentiles([number / 1000 for number in range(1, 1001)])

    taken = (found["p50_ms"], found["p99_ms"], found["p999_ms"])
    assert taken == pytest.approx((500.5, 991.0, 1000.0))


def test_peak_memory_is_the_process_s_own() -> None:
    """In megabytes, of which an interpreter has some."""
    assert 5 < peak_mb() < 5_000
