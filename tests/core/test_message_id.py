# SPDX-License-Identifier: Apache-2.0
"""Ids: version 4, and no two the same, in children of fork either."""

from __future__ import annotations

import os
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_notify.core import envelope, message_id
from kafka_notify.core.message_id import new_message_id

halves = st.integers(min_value=0, max_value=2**64 - 1)


def test_an_id_is_a_random_uuid() -> None:
    """As ``uuid.uuid4`` makes and shows them."""
    for _ in range(1000):
        text = new_message_id()
        read = uuid.UUID(text)
        assert (read.version, read.variant, str(read)) == (4, uuid.RFC_4122, text)


def test_no_id_comes_twice() -> None:
    """A hundred thousand."""
    assert len({new_message_id() for _ in range(100_000)}) == 100_000


def test_a_child_of_fork_has_ids_of_its_own() -> None:
    """It does not go on where its parent was."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writing, new_message_id().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.read() != new_message_id()


@given(halves, halves)
def test_compiled_or_not_the_same_bits_are_the_same_id(high: int, low: int) -> None:
    """As ``uuid`` makes it of them."""
    expected = str(uuid.UUID(int=high << 64 | low, version=4))
    assert message_id.uuid_text(high, low) == expected
    assert message_id.uuid_text_in_python(high, low) == expected


def test_it_is_compiled_where_the_encoder_is() -> None:
    """One compiler builds both."""
    in_python = message_id.uuid_text is message_id.uuid_text_in_python
    assert in_python == (envelope.encode_plain is None)


@pytest.mark.parametrize("bits", [-1, 2**64])
def test_other_bits_make_no_id(bits: int) -> None:
    """The compiled one says so; the other is never given any."""
    if message_id.uuid_text is message_id.uuid_text_in_python:
        pytest.skip("it was not compiled")
    for halves_of_it in ((bits, 0), (0, bits)):
        with pytest.raises(OverflowError):
            message_id.uuid_text(*halves_of_it)
