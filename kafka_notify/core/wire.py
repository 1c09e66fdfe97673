# SPDX-License-Identifier: Apache-2.0
"""A notification as JSON text: its fields there, and what reads them quickly.

What they refuse, by raising one of ``REFUSALS``, may still be a notification: ``envelope`` then
asks Python's json.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec


class Head(msgspec.Struct, gc=False):
    """All but the payload. Upstream makes sure of no field's type; without a priority it is none.

    Keys that are no fields are dropped, as ever.
    """

    priority: str
    publisher_id: Any = None
    event_type: Any = None
    context: Any = msgspec.field(default=None, name="_context")
    message_id: Any = None
    timestamp: Any = None


class Whole(Head, gc=False):
    """All of it."""

    payload: Any = None


class Unread(Head, gc=False):
    """All of it, its payload as JSON text, whose syntax was checked."""

    payload: msgspec.Raw = msgspec.Raw(b"null")


REFUSALS = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)

Read = Callable[["str | bytes"], Whole]

read_whole: Read = msgspec.json.Decoder(Whole).decode
read_unread: Callable[[str | bytes], Any] = msgspec.json.Decoder(Unread).decode
read_payload: Callable[[msgspec.Raw], Any] = msgspec.json.Decoder().decode
