# SPDX-License-Identifier: Apache-2.0
"""Options: how their text is read, what they refuse, and what they say about themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_notify.core.option import Option, options_of, row
from kafka_notify.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One option of each kind."""

    text: str = row("t", "A text.", choices={"t": "first", "u": "second"})
    whole: int = row(3, "A number.", minimum=1, maximum=9, unit="bytes", librdkafka="a.b")
    number: float = row(1.5, "A number.", minimum=0, unit="seconds", group="other")
    flag: bool = row(False, "A flag.", upstream=True)
    listed: tuple[str, ...] = row((), "A list.")
    pairs: dict[str, str] = row({}, "Pairs.")
    hidden: str = row("", "A password.", secret=True)
    no_option: int = 5


OPTIONS = options_of(Sample)


def test_each_row_is_an_option() -> None:
    """The rows of a class are its options, in their order; other fields are none."""
    assert list(OPTIONS) == ["text", "whole", "number", "flag", "listed", "pairs", "hidden"]
    assert OPTIONS["number"].group == "other"
    assert OPTIONS["flag"].group == "oslo_messaging_kafka"
    assert [option.kind for option in OPTIONS.values()] == [
        str, int, float, bool, tuple, dict, str
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("text", "u", "u"),
        ("whole", "9", 9),
        ("number", "2", 2.0),
        ("number", "1e3", 1000.0),
        ("flag", " On ", True),
        ("flag", "false", False),
        ("listed", "a, b,,c ", ("a", "b", "c")),
        ("listed", "", ()),
        ("pairs", "a.b:1, c : d:e", {"a.b": "1", "c": "d:e"}),
        ("pairs", "", {}),
        ("hidden", "a,b", "a,b"),
    ],
)
def test_texts(name: str, text: str, expected: Any) -> None:
    """Each kind has its own spelling."""
    value = OPTIONS[name].parse(text)

    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("text", "v", "option text: 'v' is not one of t, u"),
        ("whole", "many", "option whole: 'many' is no whole number"),
        ("whole", "1.5", "option whole: '1.5' is no whole number"),
        ("whole", "0", "option whole: 0 is out of range; it must be between 1 and 9 bytes"),
        ("whole", "10", "option whole: 10 is out of range"),
        ("number", "nan", "option number: 'nan' is no number"),
        ("number", "inf", "option number: 'inf' is no number"),
        ("number", "-1", "option number: -1.0 is out of range"),
        ("flag", "perhaps", r"option flag: 'perhaps' is no truth value \(true or false\)"),
        ("pairs", "a", r"option pairs: the value is no list of name:value pairs \(a:1,b:2\)"),
        ("pairs", ":b", "option pairs: the value is no list"),
    ],
)
def test_wrong_texts(name: str, text: str, problem: str) -> None:
    """What is wrong is said, with the option's name and what would be right."""
    with pytest.raises(ConfigurationError, match=problem):
        OPTIONS[name].parse(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", None),
        ("text", 3),
        ("whole", "3"),
        ("whole", 3.0),
        ("number", "3"),
        ("number", math.nan),
        ("flag", "true"),
        ("listed", ["a"]),
        ("pairs", "a:1"),
    ],
)
def test_wrong_values(name: str, value: Any) -> None:
    """A value of another kind is refused, from wherever it comes."""
    with pytest.raises(ConfigurationError, match=f"option {name}"):
        OPTIONS[name].check(value)


def test_defaults_are_legal() -> None:
    """Each default passes its own option's check."""
    for option in OPTIONS.values():
        option.check(option.default)


def test_whole_numbers_are_numbers() -> None:
    """A float option takes a whole number."""
    OPTIONS["number"].check(2)


@given(st.text())
def test_any_text_parses_or_is_refused(text: str) -> None:
    """No text leads to anything but a value or a ConfigurationError."""
    for option in OPTIONS.values():
        try:
            option.check(option.parse(text))
        except ConfigurationError as error:
            assert option.name in str(error)  # noqa: PT017 - most texts are refused, not all


def test_secrets_stay_out_of_sight() -> None:
    """Passwords are in no repr and no error; nor are dicts, which may hold some."""
    shown = repr(Sample(hidden="S3CRET", pairs={"password": "S3CRET"}))

    assert "S3CRET" not in shown
    with pytest.raises(ConfigurationError) as caught:
        OPTIONS["pairs"].parse("ssl.key.password:a,S3CRET")
    assert "S3CRET" not in f"{caught.value} {caught.value.__cause__}"
    with pytest.raises(ConfigurationError) as caught:
        OPTIONS["hidden"].check(b"S3CRET")
    assert "S3CRET" not in str(caught.value)


def test_dicts_are_not_shared() -> None:
    """Each settings object has a dict of its own."""
    assert Sample().pairs is not Sample().pairs


def test_full_help() -> None:
    """The help ends with the unit and the client's own name of the option."""
    assert OPTIONS["whole"].full_help() == "A number. Unit: bytes. Feeds librdkafka's a.b."
    assert OPTIONS["text"].full_help() == "A text."


def test_an_option_is_a_value() -> None:
    """Options are equal by value and cannot be changed."""
    assert OPTIONS["text"] == options_of(Sample)["text"]
    with pytest.raises(AttributeError):
        OPTIONS["text"].name = "other"  # type: ignore[misc]
    assert isinstance(OPTIONS["text"], Option)
