# SPDX-License-Identifier: Apache-2.0
"""The time that a notification carries: UTC, as ``str`` shows a naive datetime."""

from __future__ import annotations

from collections.abc import Callable
from time import gmtime, strftime, time_ns

_last: tuple[int | None, str] = (None, "")  # a second, and its text


def utc_text_in_python(since_1970_ns: int) -> str:
    """Do what ``_stamps.utc_text`` does, where nothing was compiled."""
    global _last  # noqa: PLW0603 - one tuple, replaced at once: no thread sees half of it
    second, rest_ns = divmod(since_1970_ns, 1_000_000_000)
    known, text = _last
    if known != second:
        text = strftime("%Y-%m-%d %H:%M:%S", gmtime(second))
        _last = (second, text)
    return f"{text}.{rest_ns // 1000:06d}"


utc_text: Callable[[int], str]
try:
    from kafka_notify.core import _stamps
except ImportError:  # it was installed without a compiler
    utc_text = utc_text_in_python
else:
    utc_text = _stamps.utc_text


def utc_now() -> str:
    """Return now, as ``2026-11-22 11:16:32.270352``. Threads: any."""
    return utc_text(time_ns())
