# SPDX-License-Identifier: Apache-2.0
"""The types of arguments."""

from __future__ import annotations

import argparse

import pytest

from kafka_notify.cli.arguments import NamedPattern, positive_number, whole_number


@pytest.mark.parametrize("text", ["1", "65535"])
def test_whole_numbers_in_range_are_taken(text: str) -> None:
    """The bounds belong to the range."""
    assert whole_number(1, 65535)(text) == int(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "'x' is no whole number"),
        ("1.5", "'1.5' is no whole number"),
        ("0", "0 is out of range, it must be 1 to 9"),
        ("10", "10 is out of range, it must be 1 to 9"),
    ],
)
def test_other_whole_numbers_are_refused(text: str, message: str) -> None:
    """The complaint tells the range."""
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        whole_number(1, 9)(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon"])
def test_numbers_that_are_no_time_are_refused(text: str) -> None:
    """A time is finite and above 0."""
    with pytest.raises(argparse.ArgumentTypeError):
        positive_number(text)


def test_named_patterns_are_collected() -> None:
    """NAME=RE can be repeated; only the first '=' separates."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--payload-filter", action=NamedPattern)

    parsed = parser.parse_args(["--payload-filter", "a=x=y", "--payload-filter", "b=.*"])

    assert parsed.payload_filter == {"a": "x=y", "b": ".*"}


@pytest.mark.parametrize("text", ["state", "=active"])
def test_a_named_pattern_has_a_name_and_an_expression(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anything else ends with a complaint that shows the form."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--payload-filter", action=NamedPattern)

    with pytest.raises(SystemExit, match="2"):
        parser.parse_args([f"--payload-filter={text}"])

    assert f"{text!r} is not of the form NAME=RE" in capsys.readouterr().err
