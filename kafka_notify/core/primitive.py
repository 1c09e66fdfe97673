# SPDX-License-Identifier: Apache-2.0
"""Python values that JSON has no form for, turned into those it has.

What oslo.serialization's ``to_primitive`` can write, this writes in the same form, but for
functions, classes and modules: those are refused, where it writes their repr. It knows no message.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import io
import ipaddress
import itertools
import pathlib
import sys
import uuid
from types import ModuleType
from typing import Any

_DATETIME = "%Y-%m-%dT%H:%M:%S.%f"
_DEEPEST = 200
_MOST_ITEMS = 1_000_000
_WRITTEN_AS_TEXT = (
    uuid.UUID,
    decimal.Decimal,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    pathlib.PurePath,
)


def to_primitive(value: Any) -> Any:
    """Return one value in a form that JSON has; raise TypeError where there is none.

    Meant as the ``default`` of orjson and json: what is inside the returned value is asked for
    again. An iterator is read to its end.
    """
    if isinstance(value, datetime.datetime):
        return value.strftime(_DATETIME)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, _WRITTEN_AS_TEXT) or _is_netaddr(value):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (int, float)):
        return float(value) if isinstance(value, float) else int(value)
    if isinstance(value, BaseException):
        return repr(value)
    if hasattr(value, "timetuple"):
        return datetime.datetime(*value.timetuple()[:6]).strftime(_DATETIME)
    return _container_to_primitive(value)


def _container_to_primitive(value: Any) -> Any:
    if not isinstance(value, (type, io.IOBase)):
        if hasattr(value, "items"):
            return dict(value.items())
        if hasattr(value, "__iter__"):
            items = list(itertools.islice(value, _MOST_ITEMS + 1))
            if len(items) > _MOST_ITEMS:
                raise TypeError(f"{type(value).__name__} has more than {_MOST_ITEMS} items")
            return items
        if dataclasses.is_dataclass(value):
            return {spec.name: getattr(value, spec.name) for spec in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _is_netaddr(value: Any) -> bool:
    """Tell whether the value is an address of netaddr, which only its users have imported."""
    netaddr = sys.modules.get("netaddr")
    return netaddr is not None and isinstance(
        value, (netaddr.IPAddress, netaddr.IPNetwork, netaddr.IPRange)
    )


def instances_to_primitive(value: Any, depth: int = 0) -> Any:
    """Return a whole structure in JSON's forms, objects as their attributes.

    Raises TypeError for what has none, and for structures deeper than 200 levels.
    """
    if depth > _DEEPEST:
        raise TypeError(f"nested deeper than {_DEEPEST} levels, or holds itself")
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, dict):
        return {
            instances_to_primitive(name, depth + 1): instances_to_primitive(part, depth + 1)
            for name, part in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [instances_to_primitive(part, depth + 1) for part in value]
    return instances_to_primitive(_one_instance(value), depth + 1)


def _one_instance(value: Any) -> Any:
    to_dict = getattr(value, "to_dict", None)
    if callable(to_dict) and not isinstance(value, type):
        return to_dict()
    try:
        return to_primitive(value)
    except TypeError:
        if callable(value) or not hasattr(value, "__dict__") or isinstance(value, ModuleType):
            raise
        return {name: part for name, part in vars(value).items() if not name.startswith("_")}
