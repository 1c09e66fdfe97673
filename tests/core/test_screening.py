# SPDX-License-Identifier: Apache-2.0
"""Which payloads are read, and that it makes no other difference."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kafka_notify.core.envelope import decode
from kafka_notify.core.filters import NotificationFilter
from kafka_notify.core.screening import UNREAD, reader_for
from kafka_notify.errors import UndecodableRecord

COMPUTE = NotificationFilter(publisher_id="compute")
DEMO = NotificationFilter(context={"project": "demo"}, metadata={"message_id": "m"})
NOBODY = NotificationFilter(event_type="$nothing")


class Own(NotificationFilter):
    """A user's filter, which may look at whatever it likes."""


def value(**fields: Any) -> bytes:
    """Return a record that is too large for all of it to be read whoever wants it."""
    text = json.dumps({"priority": "INFO", "payload": {"x": 1}, "more": "y" * 5000, **fields})
    return json.dumps({"oslo.version": "2.0", "oslo.message": text}).encode()


@pytest.mark.parametrize(
    ("fields", "is_read"),
    [
        ({"publisher_id": "compute.h1"}, True),
        ({"publisher_id": "network.h1"}, False),
        ({"_context": {"project": "demo"}, "message_id": "m"}, True),
        ({"_context": {"project": "demo"}, "message_id": "n"}, False),
        ({"_context": None, "message_id": "m"}, False),
        ({"publisher_id": 7}, False),
        ({}, False),
        ({"publisher_id": "compute", "priority": "ERROR"}, False),
    ],
    ids=str,
)
def test_read_for_those_who_want_it(fields: dict[str, Any], is_read: bool) -> None:
    """A payload is read if a filter of its priority's endpoints lets the notification through."""
    read = reader_for({"info": [NOBODY, COMPUTE, DEMO], "error": [NOBODY]})

    assert decode(value(**fields), read).payload == ({"x": 1} if is_read else UNREAD)


@pytest.mark.parametrize(
    "other",
    [None, NotificationFilter(payload={"x": "1"}), Own(event_type="$nothing"), object()],
    ids=["no filter", "of a payload", "of a subclass", "of the user's own"],
)
def test_read_for_whoever_may_look_at_it(other: Any) -> None:
    """One endpoint that needs payloads to tell what it wants is enough for all to be read."""
    read = reader_for({"info": [NOBODY], "error": [NOBODY, other]})

    assert decode(value(), read).payload == {"x": 1}


def test_whatever_came_before() -> None:
    """However many were wanted, or not, the next one is read if it is wanted itself."""
    read = reader_for({"info": [COMPUTE]})
    for publisher_id, payload in (("compute", {"x": 1}), ("network", UNREAD)) * 2:
        for _ in range(500):
            assert decode(value(publisher_id=publisher_id), read).payload == payload


@given(st.text(alphabet='{}[]",:\\u0123456789abcdefNaInfity.e-+ \n\x01é', max_size=12))
@example('{"a":[1,{"b":null}]}')
@example('{"a":}')
@example("[1,]")
@example("NaN")
@example('"\\ud800"')
@example('"\\x"')
@example('"\x01"')
@example("1e400")
@example("18446744073709551616")
def test_what_is_no_json_is_told_of_all(payload: str) -> None:
    """A payload that is read by nobody is undecodable whenever it were for those who read it."""
    more = "y" * 5000  # small ones are read whole
    text = f'{{"priority":"info","more":"{more}","payload":{payload}}}'
    one = json.dumps({"oslo.version": "2.0", "oslo.message": text}).encode()
    try:
        whole = decode(one)
    except UndecodableRecord as error:
        for screen in (NOBODY, NotificationFilter()):
            with pytest.raises(UndecodableRecord) as caught:
                decode(one, reader_for({"info": [screen]}))
            assert caught.value.args == error.args  # noqa: PT017 - most are told, not all
    else:
        wanted = decode(one, reader_for({"info": [NotificationFilter()]}))
        assert json.dumps(wanted) == json.dumps(whole)
        unwanted = decode(one, reader_for({"info": [NOBODY]}))
        assert unwanted._replace(payload=None) == whole._replace(payload=None)
