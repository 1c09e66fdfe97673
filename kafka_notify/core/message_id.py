# SPDX-License-Identifier: Apache-2.0
"""The ids of notifications: random UUIDs (version 4) as text, as oslo.messaging's are.

``uuid.uuid4`` asks the system for each one's bits and takes several times as long.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

_generator = random.Random(os.urandom(64))  # noqa: S311 - an id, not a secret
_bits = _generator.getrandbits  # one call in C: no lock is needed
_CLEAR = ~(0xF << 76 | 0x3 << 62)
_VERSION_4 = 0x4 << 76 | 0x2 << 62

# A child of fork would go on with the parent's ids.
os.register_at_fork(after_in_child=lambda: _generator.seed(os.urandom(64)))


def uuid_text_in_python(high: int, low: int) -> str:
    """Do what ``_stamps.uuid_text`` does, where nothing was compiled."""
    text = "%032x" % ((high << 64 | low) & _CLEAR | _VERSION_4)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


uuid_text: Callable[[int, int], str]
try:
    from kafka_notify.core import _stamps
except ImportError:  # it was installed without a compiler
    uuid_text = uuid_text_in_python
else:
    uuid_text = _stamps.uuid_text


def new_message_id() -> str:
    """Return an id that no other notification has. Threads: any; also in a child of fork."""
    return uuid_text(_bits(64), _bits(64))
