# SPDX-License-Identifier: Apache-2.0
"""The time that a notification carries: UTC, as ``str`` shows a naive datetime."""

from __future__ import annotations

from time import time_ns

from kafka_notify.core.stamps import utc_text


def utc_now() -> str:
    """Return now, as ``2026-11-22 11:16:32.270352``. Threads: any."""
    return utc_text(time_ns())
