# SPDX-License-Identifier: Apache-2.0
"""A notification's message_id and its timestamp, as oslo.messaging writes them.

An id is a random UUID (version 4); ``uuid.uuid4`` asks the system for each one's bits, and takes
several times as long. A timestamp is UTC, as ``str`` shows a naive datetime.

Compiled, or in Python where there was no compiler.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from time import time_ns

_CLEAR = ~(0xF << 76 | 0x3 << 62)
_VERSION_4 = 0x4 << 76 | 0x2 << 62
_EPOCH = datetime(1970, 1, 1)
_SEED_LENGTH = 32
_generator = random.Random()  # noqa: S311 - an id, not a secret
_bits = _generator.getrandbits  # one call in C: no lock is needed
_last: tuple[int | None, str] = (None, "")  # a second, and its text


def message_id_in_python(*halves: int) -> str:
    """Do what ``_stamps.message_id`` does."""
    high, low = halves or (_bits(64), _bits(64))
    text = "%032x" % ((high << 64 | low) & _CLEAR | _VERSION_4)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def timestamp_in_python(since_1970_ns: int | None = None) -> str:
    """Do what ``_stamps.timestamp`` does."""
    global _last  # noqa: PLW0603 - one tuple, replaced at once: no thread sees half of it
    second, rest_ns = divmod(time_ns() if since_1970_ns is None else since_1970_ns, 1_000_000_000)
    known, text = _last
    if known != second:
        text = str(_EPOCH + timedelta(seconds=second))
        _last = (second, text)
    return f"{text}.{rest_ns // 1000:06d}"


message_id: Callable[..., str]
"""Return an id that no other notification has. Threads: any; also in a child of fork.

Of the bits of two numbers instead, if they are given.
"""
timestamp: Callable[..., str]
"""Return now, as ``2026-11-22 11:16:32.270352``. Threads: any.

Or what is so many nanoseconds after the begin of 1970, if that is given.
"""
_seed: Callable[[bytes], None]
try:
    from kafka_notify.runtime import _stamps
except ImportError:  # it was installed without a compiler
    message_id, timestamp, _seed = message_id_in_python, timestamp_in_python, _generator.seed
else:
    message_id, timestamp, _seed = _stamps.message_id, _stamps.timestamp, _stamps.seed


def _begin_ids() -> None:
    _seed(os.urandom(_SEED_LENGTH))


_begin_ids()
os.register_at_fork(after_in_child=_begin_ids)  # it would go on with the parent's ids
