# SPDX-License-Identifier: Apache-2.0
"""The time that notifications carry."""

from __future__ import annotations

import datetime
import time

from kafka_notify.runtime import timestamp


def test_now() -> None:
    """In UTC, to the microsecond, as oslo.messaging writes it."""
    before = time.time()
    text = timestamp.utc_now()
    read = datetime.datetime.strptime(f"{text}+0000", "%Y-%m-%d %H:%M:%S.%f%z").timestamp()
    assert before - 1e-6 <= read <= time.time()
