# SPDX-License-Identifier: Apache-2.0
"""Values that JSON has no form for: the form they get is oslo.serialization's."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import ipaddress
import itertools
import json
import pathlib
import types
import uuid
import xmlrpc.client
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_notify.core.primitive import instances_to_primitive, to_primitive
from kafka_notify.core.serializers import JsonPayloadSerializer, NoOpSerializer
from kafka_notify.errors import SerializationError


class Point(NamedTuple):
    x: int
    y: int


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    """A text that shows itself otherwise, as translated messages do."""

    __slots__ = ()

    def __str__(self) -> str:
        return "shown"


class Number(float):
    """A float of another class, as numpy's are."""


class Items:
    """Not a Mapping, but with items(), as rows of databases and versioned objects are."""

    def items(self) -> list[tuple[str, int]]:
        return [("a", 1)]


class Iterated:
    def __iter__(self) -> Any:
        return iter([1, 2])


class Plain:
    def __init__(self) -> None:
        self.a = 1
        self.when = datetime.datetime(2026, 11, 22, 11, 16, 32, 270352)
        self.deep = {"k": Point(1, 2)}


@dataclasses.dataclass
class Data:
    a: int
    b: object


VALUES: list[tuple[Callable[[], Any], Any]] = [
    (lambda: datetime.datetime(2026, 11, 22, 11, 16, 32, 270352), "2026-11-22T11:16:32.270352"),
    (
        lambda: datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
        "2026-01-02T00:00:00.000000",
    ),
    (lambda: datetime.date(2026, 11, 22), "2026-11-22"),
    (lambda: uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (lambda: decimal.Decimal("1.10"), "1.10"),
    (lambda: b"bytes \xc3\xa9", "bytes é"),
    (lambda: bytearray(b"ab"), [97, 98]),
    (lambda: ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
    (lambda: ipaddress.ip_address("::1"), "::1"),
    (lambda: {3}, [3]),
    (lambda: frozenset([3]), [3]),
    (lambda: range(3), [0, 1, 2]),
    (lambda: collections.deque([1, 2]), [1, 2]),
    ({"a": 1}.keys, ["a"]),
    (lambda: map(str, [1, 2]), ["1", "2"]),
    (lambda: iter([1]), [1]),
    (lambda: Point(1, 2), [1, 2]),
    (Iterated, [1, 2]),
    (lambda: types.MappingProxyType({"a": 1}), {"a": 1}),
    (lambda: collections.UserDict(a=1), {"a": 1}),
    (lambda: collections.OrderedDict(a={1}), {"a": [1]}),
    (Items, {"a": 1}),
    (lambda: ValueError("no"), "ValueError('no')"),
    (lambda: Level.HIGH, 3),
    (lambda: Text("t"), "t"),
    (lambda: Number(1.5), 1.5),
    (lambda: xmlrpc.client.DateTime("20261122T11:16:32"), "2026-11-22T11:16:32.000000"),
]
OURS: list[tuple[Callable[[], Any], Any]] = [
    (lambda: datetime.time(11, 16), "11:16:00"),
    (lambda: Colour.RED, "red"),
    (lambda: pathlib.PurePosixPath("/a/b"), "/a/b"),
    (lambda: Data(1, {2}), {"a": 1, "b": [2]}),
    (lambda: (n for n in [1]), [1]),
    (lambda: KeyboardInterrupt("now"), "KeyboardInterrupt('now')"),
]
"""What oslo.serialization refuses, and has one obvious form."""


@pytest.mark.parametrize(("make", "expected"), [*VALUES, *OURS])
def test_forms(make: Callable[[], Any], expected: Any) -> None:
    """Each kind of value has its form, whichever encoder asks for it."""
    assert json.loads(json.dumps([make()], default=to_primitive)) == [expected]
    options = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
    assert orjson.loads(orjson.dumps([make()], to_primitive, options)) == [expected]


REFUSED = [
    object(),
    len,
    Plain,
    Plain().__init__,
    lambda: None,
    json,
    itertools.count(),
    itertools.cycle([1]),
    itertools.repeat(1),
    1j,
    b"\xff",
]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
def test_refused(value: Any) -> None:
    """What has no form is refused: never its repr, never an iteration without end."""
    with pytest.raises((TypeError, ValueError)):
        to_primitive(value)


@pytest.mark.functional
@pytest.mark.parametrize(("make", "expected"), VALUES)
def test_forms_are_oslos(make: Callable[[], Any], expected: Any) -> None:
    """oslo.serialization writes the same."""
    jsonutils = pytest.importorskip("oslo_serialization.jsonutils")

    assert json.loads(jsonutils.dumps([make()])) == [expected]


def test_netaddr_addresses() -> None:
    """The addresses that OpenStack's services hold are their texts."""
    netaddr = pytest.importorskip("netaddr")

    assert to_primitive(netaddr.IPAddress("10.0.0.1")) == "10.0.0.1"
    assert to_primitive(netaddr.IPNetwork("10.0.0.0/8")) == "10.0.0.0/8"
    assert to_primitive(netaddr.IPRange("10.0.0.1", "10.0.0.9")) == "10.0.0.1-10.0.0.9"


keys = st.text(max_size=3) | st.integers() | st.booleans() | st.none()
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.datetimes(min_value=datetime.datetime(1000, 1, 1)),
    st.dates(min_value=datetime.date(1000, 1, 1)),
    st.uuids(),
    st.decimals(),
    st.ip_addresses(),
    st.text(max_size=5).map(str.encode),
    st.sets(st.integers(), max_size=3),
    st.builds(Point, st.integers(), st.integers()),
)
structures = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=8,
)


@pytest.mark.functional
@given(structures)
def test_structures_are_oslos(value: Any) -> None:
    """Whatever is nested in whatever, JSON with our default is JSON with oslo.serialization's."""
    jsonutils = pytest.importorskip("oslo_serialization.jsonutils")

    assert json.dumps(value, default=to_primitive) == jsonutils.dumps(value)


class TestJsonPayloadSerializer:
    """The serializer for payloads of objects."""

    def test_objects_are_their_attributes(self) -> None:
        """An object is sent as its attributes, at any depth."""
        entity = {"object": Plain(), "list": [Plain()], "data": Data(1, Plain())}
        plain = {"a": 1, "when": "2026-11-22T11:16:32.270352", "deep": {"k": [1, 2]}}

        sent = JsonPayloadSerializer().serialize_entity({}, entity)

        assert sent == {"object": plain, "list": [plain], "data": {"a": 1, "b": plain}}
        json.dumps(sent)

    def test_to_dict_knows_best(self) -> None:
        """An object that has to_dict() is sent as that."""

        class Model:
            def to_dict(self) -> dict[str, object]:
                return {"when": datetime.date(2026, 11, 22)}

        assert instances_to_primitive(Model()) == {"when": "2026-11-22"}

    def test_private_attributes_stay(self) -> None:
        """Attributes with a leading underscore are the object's own business."""
        entity = Plain()
        entity._session = object()  # type: ignore[attr-defined]

        assert "_session" not in JsonPayloadSerializer().serialize_entity({}, entity)

    def test_subclasses_of_simple_types(self) -> None:
        """Texts and numbers of other classes become plain ones."""

        result = instances_to_primitive([Text("t"), Number(1.5), Level.HIGH, True])

        assert result == ["t", 1.5, 3, True]
        assert [type(part) for part in result] == [str, float, int, bool]

    @pytest.mark.parametrize(
        "value", [len, Plain, lambda: None, json], ids=("function", "class", "lambda", "module")
    )
    def test_refused(self, value: object) -> None:
        """A function or class in a payload is an error that says where it is."""
        with pytest.raises(SerializationError, match="payload") as caught:
            JsonPayloadSerializer().serialize_entity({}, {"a": value})

        assert caught.value.path.startswith("payload")

    def test_endless_structures(self) -> None:
        """A structure that holds itself is refused, however it does so."""
        endless: list[object] = []
        endless.append(endless)
        plain = Plain()
        plain.a = plain  # type: ignore[assignment]

        for value in (endless, plain):
            with pytest.raises(SerializationError, match="holds itself"):
                JsonPayloadSerializer().serialize_entity({}, value)

    @pytest.mark.functional
    @given(structures)
    def test_structures_are_upstreams(self, value: Any) -> None:
        """oslo.messaging's serializer gives the same JSON."""
        upstream = pytest.importorskip("oslo_messaging").JsonPayloadSerializer()

        ours = JsonPayloadSerializer().serialize_entity({}, value)

        assert json.dumps(ours) == json.dumps(upstream.serialize_entity({}, value))

    @pytest.mark.functional
    def test_objects_are_upstreams(self) -> None:
        """An object's attributes are what oslo.messaging's serializer sends."""
        upstream = pytest.importorskip("oslo_messaging").JsonPayloadSerializer()

        ours = JsonPayloadSerializer().serialize_entity({}, Plain())

        assert ours == upstream.serialize_entity({}, Plain())


def test_no_op_serializer() -> None:
    """The default changes nothing, in either direction."""
    serializer, value = NoOpSerializer(), object()

    assert serializer.serialize_entity({}, value) is value
    assert serializer.deserialize_entity({}, value) is value
    assert serializer.serialize_context(value) is value
    assert serializer.deserialize_context(value) is value
