# SPDX-License-Identifier: Apache-2.0
"""What an option is: the metadata that each field of the settings carries, and its parsing.

``options.py`` makes oslo.config's options of it, a URL's query is read by it, the sample and the
docs come from it: an option is one row in ``settings.py`` and nowhere else.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka_notify.errors import ConfigurationError

_TRUE = frozenset(("true", "1", "on", "yes"))
_FALSE = frozenset(("false", "0", "off", "no"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option: ``group`` is its section, ``upstream`` tells that oslo.messaging owns it.

    ``librdkafka`` names the client's key that it feeds, if it is just one.
    """

    name: str
    kind: type
    default: Any
    help: str
    group: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    secret: bool = False
    upstream: bool = False
    librdkafka: str = ""

    def full_help(self) -> str:
        """Return the help with unit and librdkafka's key, as samples and docs show it."""
        text = self.help
        if self.unit:
            text += f" Unit: {self.unit}."
        if self.librdkafka:
            text += f" Feeds librdkafka's {self.librdkafka}."
        return text

    def parse(self, text: str) -> Any:
        """Return the value that ``text`` of a URL's query spells, or raise ConfigurationError."""
        try:
            value = _PARSERS[self.kind](text)
        except ValueError as error:
            raise self._wrong_kind(text) from error
        self.check(value)
        return value

    def check(self, value: Any) -> None:
        """Raise ConfigurationError when ``value`` is not of the option's kind, choices, range."""
        if not self._fits(value):
            raise self._wrong_kind(value)
        if self.choices and value not in self.choices:
            raise ConfigurationError(
                f"option {self.name}: {value!r} is not one of {', '.join(self.choices)}"
            )
        if self.kind not in (int, float):
            return
        low, high = self.minimum, self.maximum
        above = low is None or value >= low
        below = high is None or value <= high
        if not (above and below):  # put so that NaN, which compares with nothing, is refused
            raise ConfigurationError(
                f"option {self.name}: {value!r} is out of range; it must be between {low} and "
                f"{high} {self.unit}".rstrip()
            )

    def _fits(self, value: Any) -> bool:
        return isinstance(value, (int, float) if self.kind is float else self.kind)

    def _wrong_kind(self, value: Any) -> ConfigurationError:
        # A dict of the client's options may hold passwords.
        shown = "the value" if self.secret or self.kind is dict else repr(value)
        return ConfigurationError(f"option {self.name}: {shown} is no {_KIND_NAMES[self.kind]}")


def row(
    default: Any,
    help: str,  # noqa: A002 - the word that oslo.config uses for it
    *,
    group: str = "oslo_messaging_kafka",
    **details: Any,
) -> Any:
    """Return a dataclass field that is an option; secrets and dicts stay out of the repr."""
    shown = not details.get("secret") and not isinstance(default, dict)
    metadata = {"option": {"default": default, "help": help, "group": group, **details}}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=default.copy, repr=shown, metadata=metadata)
    return dataclasses.field(default=default, repr=shown, metadata=metadata)


def options_of(settings: type) -> dict[str, Option]:
    """Return the options that a settings class holds, by name."""
    found = {}
    for spec in dataclasses.fields(settings):
        if "option" in spec.metadata:
            details = dict(spec.metadata["option"])
            kind = details.pop("kind", None) or type(details["default"])
            found[spec.name] = Option(name=spec.name, kind=kind, **details)
    return found


def _parse_bool(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in _TRUE or lowered in _FALSE:
        return lowered in _TRUE
    raise ValueError(text)


def _parse_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _parse_list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _parse_dict(text: str) -> dict[str, str]:
    pairs = {}
    for number, part in enumerate(_parse_list(text), 1):
        name, colon, value = part.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"part {number} has no name, or no ':'")  # and may be a secret
        pairs[name.strip()] = value.strip()
    return pairs


_PARSERS: dict[type, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: _parse_float,
    bool: _parse_bool,
    tuple: _parse_list,
    dict: _parse_dict,
}
_KIND_NAMES = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "truth value (true or false)",
    tuple: "list (a,b,c)",
    dict: "list of name:value pairs (a:1,b:2)",
}
