# SPDX-License-Identifier: Apache-2.0
"""Record keys: what of a notification orders it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kafka_notify.core.recordkey import RecordKey
from kafka_notify.errors import ConfigurationError

PAYLOAD = {"instance_id": "i", "n": 7, "deep": {"er": "d"}, "list": ["x"], "null": None, "f": 1.5}
CTXT = {"project_id": "p"}


def key_of(rule: str, **changes: Any) -> bytes | None:
    ctxt = changes.pop("ctxt", CTXT)
    message = {"publisher_id": "pub", "event_type": "ev", "payload": PAYLOAD, **changes}
    return RecordKey(rule).of(message, ctxt)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("none", None),
        ("publisher_id", b"pub"),
        ("event_type", b"ev"),
        ("payload/instance_id", b"i"),
        ("payload/n", b"7"),
        ("payload/deep/er", b"d"),
        ("context/project_id", b"p"),
    ],
)
def test_rules(rule: str, expected: bytes | None) -> None:
    """Each rule takes its part of the notification."""
    assert key_of(rule) == expected


def test_no_key_is_no_field() -> None:
    """Whatever a notification's fields are called."""
    assert key_of("none", none="x") is None


@pytest.mark.parametrize(
    "rule",
    [
        "payload/absent",
        "payload/deep",
        "payload/deep/er/deeper",
        "payload/list",
        "payload/null",
        "payload/f",
        "context/absent",
    ],
)
def test_publisher_stands_in(rule: str) -> None:
    """Where a path leads nowhere, or to no text or whole number, the publisher orders."""
    assert key_of(rule) == b"pub"
    assert key_of(rule, publisher_id=None) is None


@pytest.mark.parametrize("payload", [None, "text", 3, ["list"]])
def test_payloads_without_fields(payload: object) -> None:
    """A payload that is no dict has no path."""
    assert key_of("payload/instance_id", payload=payload) == b"pub"


@pytest.mark.parametrize(
    "rule", ["", "publisher", "payload", "payload/", "payload//x", "metadata/x", "/payload/x"]
)
def test_unknown_rules(rule: str) -> None:
    """Anything else is refused with what there is."""
    with pytest.raises(ConfigurationError, match=r"option record_key: .*payload/instance_id"):
        RecordKey(rule)


@given(st.text(), st.sampled_from(["publisher_id", "event_type", "payload/x"]))
@example("\ud800", "publisher_id")
def test_any_text_makes_a_key(text: str, rule: str) -> None:
    """Every text makes a key, half surrogate pairs included; equal texts make equal keys."""
    message: dict[str, Any] = {
        "publisher_id": text, "event_type": text, "payload": {"x": text}
    }  # fmt: skip

    key = RecordKey(rule).of(message, {})

    assert isinstance(key, bytes)
    assert key == RecordKey(rule).of(message, {})
