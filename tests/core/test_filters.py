# SPDX-License-Identifier: Apache-2.0
"""NotificationFilter: the same verdicts as oslo.messaging's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kafka_notify.core.filters import NotificationFilter
from kafka_notify.errors import ConfigurationError

MESSAGE: dict[str, Any] = {
    "context": {"project": "admin", "roles": ["r"]},
    "publisher_id": "compute.host1",
    "event_type": "compute.instance.update",
    "metadata": {"timestamp": "2026-11-22 11:16:32", "message_id": "m"},
    "payload": {"state": "active", "n": 7},
}

MATCHING: list[dict[str, Any]] = [
    {},
    {"publisher_id": r"^compute.*"},
    {"publisher_id": "compute"},
    {"event_type": r"compute\.instance\..*$"},
    {"context": {"project": "adm"}},
    {"metadata": {"timestamp": "2026"}},
    {"payload": {"state": "^active$"}},
    {"publisher_id": "compute", "event_type": "compute", "payload": {"state": "a"}},
]
NOT_MATCHING: list[dict[str, Any]] = [
    {"publisher_id": "^network"},
    {"publisher_id": "host1"},
    {"event_type": r"^compute\.instance$"},
    {"context": {"project": "demo"}},
    {"context": {"roles": "r"}},
    {"metadata": {"absent": ""}},
    {"payload": {"n": "7"}},
    {"payload": {"state": "active", "absent": ".*"}},
    {"publisher_id": "compute", "event_type": "network"},
]


@pytest.mark.parametrize("rule", MATCHING, ids=repr)
def test_matches(rule: dict[str, Any]) -> None:
    """A notification passes when each expression matches at the start of its field."""
    assert NotificationFilter(**rule).match(**MESSAGE)


@pytest.mark.parametrize("rule", NOT_MATCHING, ids=repr)
def test_does_not_match(rule: dict[str, Any]) -> None:
    """One expression that does not match, or a field that is missing or no text, is enough."""
    assert not NotificationFilter(**rule).match(**MESSAGE)


@pytest.mark.parametrize("value", [None, 3, "text", ["state"], object()])
def test_fields_that_are_no_dict(value: object) -> None:
    """A payload or context that is no dict matches no expression on a field of it."""
    for field in ("payload", "context", "metadata"):
        assert not NotificationFilter(**{field: {"state": ""}}).match(**{**MESSAGE, field: value})
    assert NotificationFilter().match(**{**MESSAGE, "payload": value})


@pytest.mark.parametrize("pattern", ["(", "*", "a{99999999999999999999}", b"bytes", 3, ["x"]])
def test_malformed_expressions(pattern: Any) -> None:
    """A malformed expression is refused when the filter is made, with its place."""
    with pytest.raises(ConfigurationError, match="event_type"):
        NotificationFilter(event_type=pattern)
    with pytest.raises(ConfigurationError, match=r"payload\['state'\]"):
        NotificationFilter(payload={"state": pattern})


patterns = st.sampled_from(["", "^a", "a$", "b", ".*b", "[ab]+", "^$", "(?!a)", "\\d"])
fields = st.sampled_from(["x", "y"])
values = st.none() | st.integers() | st.text("ab1", max_size=3) | st.lists(st.text("ab"))
contents = st.dictionaries(fields, values)
rules = st.fixed_dictionaries(
    {},
    optional={
        "publisher_id": st.none() | patterns,
        "event_type": st.none() | patterns,
        "context": st.none() | st.dictionaries(fields, patterns),
        "metadata": st.none() | st.dictionaries(fields, patterns),
        "payload": st.none() | st.dictionaries(fields, patterns),
    },
)


@pytest.mark.functional
@given(rules, contents, values, values, contents, contents)
@example({}, {}, None, None, {}, {})
def test_verdict_is_upstreams(
    rule: dict[str, Any],
    context: Any,
    publisher_id: Any,
    event_type: Any,
    metadata: Any,
    payload: Any,
) -> None:
    """Filters let through what oslo.messaging's let through."""
    theirs = pytest.importorskip("oslo_messaging").NotificationFilter(**rule)
    message = (context, publisher_id, event_type, metadata, payload)

    assert NotificationFilter(**rule).match(*message) is theirs.match(*message)
