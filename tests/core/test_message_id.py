# SPDX-License-Identifier: Apache-2.0
"""Ids: version 4, and no two the same, in children of fork either."""

from __future__ import annotations

import os
import uuid

from kafka_notify.core.message_id import new_message_id


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
