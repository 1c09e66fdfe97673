# SPDX-License-Identifier: Apache-2.0
"""OPAL's schemas, both directions, with whichever pydantic there is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kafka_notify.opal.schemas import BroadcastNotification, DataUpdate, SchemaError

GUIDE = (
    '{"notifier_id": "9a9a97df1da64486a1a56a070f1c3db3", "topics": ["policy_data"], "data": '
    '{"id": null, "entries": [{"url": "", "config": {}, "topics": ["policy_data"], '
    '"dst_path": "/users/bob/location", "save_method": "PUT"}], "reason": "User reconnected from '
    'new IP", "callback": {"callbacks": []}}}'
)
CALLBACKS = ["http://a/", ["http://b/", {"method": "post", "headers": {"x": "y"}}]]


def test_the_guides_example() -> None:
    """It is read to the letter, and written again as it was; its update is one."""
    found = BroadcastNotification.parse(GUIDE)
    assert found.to_json() == GUIDE
    update = found.update()
    assert update.entries[0].dst_path == "/users/bob/location"
    assert update.reason == "User reconnected from new IP"


def test_the_minimal_forms() -> None:
    """What is left out has OPAL's defaults."""
    update = DataUpdate.parse({"entries": [{"url": ""}]})
    assert update.to_dict() == {
        "id": None,
        "entries": [
            {
                "url": "",
                "config": None,
                "topics": ["policy_data"],
                "dst_path": "",
                "save_method": "PUT",
                "data": None,
            }
        ],
        "reason": None,
        "callback": {"callbacks": []},
    }
    assert BroadcastNotification.parse('{"notifier_id": "x", "topics": ["t"]}').data is None


def test_unknown_fields_are_kept() -> None:
    """At every level, both ways."""
    text = {
        "entries": [{"url": "u", "later": [1]}],
        "callback": {"callbacks": CALLBACKS, "more": True},
        "new": {"a": None},
    }
    found = json.loads(DataUpdate.parse(text).to_json())
    assert found["entries"][0]["later"] == [1]
    assert found["callback"] == {"callbacks": CALLBACKS, "more": True}
    assert found["new"] == {"a": None}


PATCH = [{"op": "replace", "path": "/a", "value": 1}]


@pytest.mark.parametrize(
    ("found", "where"),
    [
        ("{", ()),
        ("[]", None),
        ({}, ("entries",)),
        ({"entries": [{}]}, ("entries", 0, "url")),
        ({"entries": [{"url": "", "topics": "a"}]}, ("entries", 0, "topics")),
        (
            {"entries": [{"url": "", "save_method": "POST", "data": {}}]},
            ("entries", 0, "save_method"),
        ),
        (
            {"entries": [{"url": "", "save_method": "PATCH", "data": {}}]},
            ("entries", 0, "data"),
        ),
        (
            {"entries": [{"url": "", "save_method": "PATCH", "data": [{"op": "add"}]}]},
            ("entries", 0, "data"),
        ),
    ],
)
def test_wrong_schemas_are_refused_with_the_field(found: Any, where: Any) -> None:
    """The way to what is wrong is told."""
    with pytest.raises(SchemaError) as raised:
        DataUpdate.parse(found)
    if where is not None:
        assert where in [problem["loc"] for problem in raised.value.problems]


def test_a_json_patch() -> None:
    """PATCH takes JSON patch operations."""
    entry = {"url": "", "save_method": "PATCH", "data": PATCH}
    assert DataUpdate.parse({"entries": [entry]}).entries[0].data == PATCH


@pytest.mark.functional
@pytest.mark.opal
class TestAgainstOpal:
    """OPAL's own models read what ours write, and the other way round."""

    def test_updates(self) -> None:
        """The same JSON from both, field by field and in the same order."""
        from opal_common.schemas import data as theirs

        for text in (
            {"entries": [{"url": "http://x/", "config": {"headers": {"a": "b"}}}]},
            {
                "id": "i",
                "entries": [{"url": "", "topics": ["a/b"], "data": {"n": 1}, "dst_path": "/d"}],
                "reason": "é",
            },
        ):
            ours = DataUpdate.parse(text)
            assert json.loads(theirs.DataUpdate.parse_obj(text).json()) == ours.to_dict()
            assert theirs.DataUpdate.parse_raw(ours.to_json()).json() == ours.to_json()
            assert DataUpdate.parse(theirs.DataUpdate.parse_obj(text).json()) == ours

    def test_patches_and_callbacks(self) -> None:
        """OPAL reads our patches and callbacks; we read what it writes of them."""
        from opal_common.schemas import data as theirs

        text = {
            "entries": [{"url": "", "save_method": "PATCH", "data": PATCH}],
            "callback": {"callbacks": CALLBACKS},
        }
        read = theirs.DataUpdate.parse_raw(DataUpdate.parse(text).to_json())
        assert read.entries[0].data[0].op == "replace"
        assert read.callback.callbacks[1][1].method.value == "post"
        again = DataUpdate.parse(read.json(by_alias=True))
        assert again.entries[0].data[0]["path"] == "/a"
        assert again.callback.callbacks[1][0] == "http://b/"

    def test_notifications(self) -> None:
        """fastapi_websocket_pubsub's BroadcastNotification is the same text."""
        from fastapi_websocket_pubsub.event_broadcaster import BroadcastNotification as Theirs

        assert Theirs.parse_raw(GUIDE).json() == BroadcastNotification.parse(GUIDE).to_json()
