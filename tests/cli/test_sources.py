# SPDX-License-Identifier: Apache-2.0
"""Notifications that users write: what is taken, and what is said of the rest."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_notify.cli.sources import BadLine, Defaults, Draft, parse_payload, read_drafts
from kafka_notify.core.message import PRIORITIES
from kafka_notify.errors import ConfigurationError

DEFAULTS = Defaults(priority="info", publisher_id="me", event_type=None)
WHOLE = {
    "priority": "ERROR",
    "publisher_id": "nova-compute:c1",
    "event_type": "instance.create.error",
    "payload": {"id": 1},
    "ctxt": {"request_id": "req-1"},
}


def read(*lines: object, defaults: Defaults = DEFAULTS) -> list[Draft | BadLine]:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return list(read_drafts(texts, defaults))


def test_a_whole_line_is_taken_as_it_is() -> None:
    """Every field of a line is taken; an upper-case priority becomes our lower-case one."""
    expected = Draft(
        line=1,
        priority="error",
        publisher_id="nova-compute:c1",
        event_type="instance.create.error",
        payload={"id": 1},
        ctxt={"request_id": "req-1"},
    )

    assert read(WHOLE) == [expected]


def test_what_listen_prints_can_be_sent_again() -> None:
    """The metadata that 'listen' adds is no obstacle; the new notification gets its own."""
    (draft,) = read({**WHOLE, "metadata": {"message_id": "m", "timestamp": "t"}})

    assert isinstance(draft, Draft)


def test_arguments_stand_in_for_fields_that_are_left_out() -> None:
    """Priority, publisher_id and event_type have defaults; a payload of null is a payload."""
    defaults = Defaults(priority="warn", publisher_id="me", event_type="ping")

    (draft,) = read({"payload": None}, defaults=defaults)

    expected = Draft(
        line=1, priority="warn", publisher_id="me", event_type="ping", payload=None, ctxt={}
    )
    assert draft == expected


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{not json", "not JSON"),
        (b'{"payload": NaN}', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ([1], "a JSON object is needed, this is a list"),
        ("text", "a JSON object is needed, this is a text"),
        (None, "a JSON object is needed, this is null"),
        ({**WHOLE, "evnt_type": "x"}, "unknown field 'evnt_type'; known are priority"),
        ({**WHOLE, "priority": "urgent"}, "priority 'urgent' is unknown; known are audit"),
        ({**WHOLE, "priority": 3}, "priority must be a text that is not empty, this is a number"),
        ({**WHOLE, "publisher_id": ""}, "publisher_id must be a text that is not empty"),
        ({**WHOLE, "event_type": None}, "it has no event_type; give one there, or --event-type"),
        ({**WHOLE, "ctxt": [1]}, "ctxt must be a JSON object, this is a list"),
        ({"event_type": "x"}, "it has no payload"),
    ],
)
def test_a_bad_line_is_named_with_its_cause(line: object, problem: str) -> None:
    """A line that is no notification is told by its number; the lines around it are taken."""
    before, bad, after = read(WHOLE, line, WHOLE)

    assert isinstance(before, Draft)
    assert isinstance(bad, BadLine)
    assert str(bad).startswith(f"line 2: {problem}")
    assert isinstance(after, Draft)


def test_blank_lines_count_but_say_nothing() -> None:
    """Blank lines are passed over and do not shift the numbers."""
    (draft,) = read(b"\n", b"  \r\n", WHOLE)

    assert isinstance(draft, Draft)
    assert draft.line == 3


@given(st.binary(max_size=40), st.recursive(st.none() | st.text(), st.lists, max_leaves=3))
def test_no_line_raises(raw: bytes, value: object) -> None:
    """Whatever a line holds, it is a draft with a known priority, a complaint, or blank."""
    for item in read(raw, {**WHOLE, "priority": value}, {"payload": 1, "ctxt": value}):
        assert isinstance(item, BadLine) or item.priority in PRIORITIES


def test_a_payload_argument_is_json() -> None:
    """--payload takes any JSON value."""
    assert [parse_payload(text) for text in ('{"a": [1]}', '"text"', "null", "1.5")] == [
        {"a": [1]},
        "text",
        None,
        1.5,
    ]


def test_a_payload_that_is_not_json_is_refused_with_the_remedy() -> None:
    """The usual mistake, a text without quotes, is answered with the right form."""
    with pytest.raises(ConfigurationError, match=r"--payload 'hello' is not JSON.*double quotes"):
        parse_payload("hello")
