# SPDX-License-Identifier: Apache-2.0
"""Lanes: same key in order, different keys side by side, whatever finishes first."""

from hypothesis import given
from hypothesis import strategies as st

from kafka_notify.core.lanes import Lanes, Unit
from kafka_notify.core.message import Record


def record(number: int, key: bytes | None, topic: str = "t") -> Record:
    return Record(topic, 0, number, key, b"")


@given(
    batches=st.lists(
        st.lists(st.sampled_from([None, b"a", b"b", b"c", b"d"]), min_size=1, max_size=4),
        max_size=40,
    ),
    data=st.data(),
)
def test_any_order_of_completion_keeps_each_keys_order(batches, data):
    """However units finish, each key's records run in order, no two at once, and all run."""
    numbers = iter(range(10_000))
    units = [Unit([record(next(numbers), key) for key in keys]) for keys in batches]
    lanes = Lanes()
    waiting = list(units)
    running: list[Unit] = []
    seen: dict[bytes, list[int]] = {}
    ran = 0
    while waiting or running:
        if waiting and (not running or data.draw(st.booleans(), label="add")):
            ready = lanes.add([waiting.pop(0)])
        else:
            done = running.pop(data.draw(st.integers(0, len(running) - 1), label="finish"))
            for one in done.records:
                if one.key is not None:
                    seen.setdefault(one.key, []).append(one.offset)
            ran += 1
            ready = lanes.finish(done)
        for unit in ready:
            assert all(not set(unit.keys).intersection(other.keys) for other in running)
            running.append(unit)
    assert ran == len(units)
    assert all(offsets == sorted(offsets) for offsets in seen.values())


def test_a_unit_without_keys_never_waits():
    """Records that were sent without a key are ready at once, however many there are."""
    lanes = Lanes()
    units = [Unit([record(number, None)]) for number in range(5)]
    assert lanes.add(units) == units


def test_the_same_key_in_two_topics_is_two_lanes():
    """A key orders within its topic: another priority's topic does not wait for it."""
    lanes = Lanes()
    units = [Unit([record(0, b"k", "t.info")]), Unit([record(0, b"k", "t.error")])]
    assert lanes.add(units) == units


def test_finished_lanes_are_forgotten():
    """A hundred thousand keys that came once hold no memory afterwards."""
    lanes = Lanes()
    for number in range(1000):
        unit = Unit([record(number, str(number).encode())])
        lanes.add([unit])
        lanes.finish(unit)
    assert repr(lanes) == "<Lanes 0 lanes, 0 places>"
