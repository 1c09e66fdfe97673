# SPDX-License-Identifier: Apache-2.0
"""Python values that JSON has no form for, turned into those it has.

What oslo.serialization's ``to_primitive`` writes, this writes too; it knows no message.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

_DATETIME = "%Y-%m-%dT%H:%M:%S.%f"
_DEEPEST = 200


def to_primitive(value: Any) -> Any:
    """Return one value in a form that JSON has; raise TypeError where there is none.

    Meant as orjson's ``default``: what is inside the returned value is asked for again.
    """
    if isinstance(value, datetime.datetime):
        return value.strftime(_DATETIME)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (uuid.UUID, decimal.Decimal, pathlib.PurePath)):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset, range)) or hasattr(value, "__next__"):
        return list(value)
    if isinstance(value, BaseException):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {spec.name: getattr(value, spec.name) for spec in dataclasses.fields(value)}
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def instances_to_primitive(value: Any, depth: int = 0) -> Any:
    """Return a whole structure in JSON's forms, objects as their attributes.

    Raises TypeError for what has none, and for structures deeper than 200 levels.
    """
    if depth > _DEEPEST:
        raise TypeError(f"nested deeper than {_DEEPEST} levels, or holds itself")
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, dict):
        return {str(name): instances_to_primitive(part, depth + 1) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [instances_to_primitive(part, depth + 1) for part in value]
    return instances_to_primitive(_one_instance(value), depth + 1)


def _one_instance(value: Any) -> Any:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    to_dict = getattr(value, "to_dict", None)
    if callable(to_dict):
        return to_dict()
    try:
        return to_primitive(value)
    except TypeError:
        if isinstance(value, Iterable):
            return list(value)
        if callable(value) or not hasattr(value, "__dict__"):
            raise
        return {name: part for name, part in vars(value).items() if not name.startswith("_")}
