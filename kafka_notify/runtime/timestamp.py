# SPDX-License-Identifier: Apache-2.0
"""The time that a notification carries: UTC, as ``str`` shows a naive datetime."""

from __future__ import annotations

from time import gmtime, strftime, time_ns

_last = (0, "")  # a second, and its text


def utc_now() -> str:
    """Return now, as ``2026-11-22 11:16:32.270352``. Threads: any."""
    global _last  # noqa: PLW0603 - one tuple, replaced at once: no thread sees half of it
    second, rest_ns = divmod(time_ns(), 1_000_000_000)
    known, text = _last
    if known != second:
        text = strftime("%Y-%m-%d %H:%M:%S", gmtime(second))
        _last = (second, text)
    return f"{text}.{rest_ns // 1000:06d}"
