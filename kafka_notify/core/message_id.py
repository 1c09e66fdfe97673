# SPDX-License-Identifier: Apache-2.0
"""The ids of notifications: random UUIDs (version 4) as text, as oslo.messaging's are.

``uuid.uuid4`` asks the system for each one's bits and takes several times as long.
"""

from __future__ import annotations

import os
import random

from kafka_notify.core.stamps import uuid_text

_generator = random.Random(os.urandom(64))  # noqa: S311 - an id, not a secret
_bits = _generator.getrandbits  # one call in C: no lock is needed

# A child of fork would go on with the parent's ids.
os.register_at_fork(after_in_child=lambda: _generator.seed(os.urandom(64)))


def new_message_id() -> str:
    """Return an id that no other notification has. Threads: any; also in a child of fork."""
    return uuid_text(_bits(64), _bits(64))
