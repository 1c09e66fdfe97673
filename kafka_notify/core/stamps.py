# SPDX-License-Identifier: Apache-2.0
"""A notification's message_id and timestamp as texts, out of random bits and of a time.

Compiled, or in Python where there was no compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

_CLEAR = ~(0xF << 76 | 0x3 << 62)
_VERSION_4 = 0x4 << 76 | 0x2 << 62
_EPOCH = datetime(1970, 1, 1)
_last: tuple[int | None, str] = (None, "")  # a second, and its text


def uuid_text_in_python(high: int, low: int) -> str:
    """Do what ``_stamps.uuid_text`` does."""
    text = "%032x" % ((high << 64 | low) & _CLEAR | _VERSION_4)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def utc_text_in_python(since_1970_ns: int) -> str:
    """Do what ``_stamps.utc_text`` does."""
    global _last  # noqa: PLW0603 - one tuple, replaced at once: no thread sees half of it
    second, rest_ns = divmod(since_1970_ns, 1_000_000_000)
    known, text = _last
    if known != second:
        text = str(_EPOCH + timedelta(seconds=second))
        _last = (second, text)
    return f"{text}.{rest_ns // 1000:06d}"


uuid_text: Callable[[int, int], str]
utc_text: Callable[[int], str]
try:
    from kafka_notify.core import _stamps
except ImportError:  # it was installed without a compiler
    uuid_text, utc_text = uuid_text_in_python, utc_text_in_python
else:
    uuid_text, utc_text = _stamps.uuid_text, _stamps.utc_text
