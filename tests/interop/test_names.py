# SPDX-License-Identifier: Apache-2.0
"""Our names and signatures are those of the oslo.messaging that is installed."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

import kafka_notify

pytestmark = pytest.mark.functional  # not of Kafka, but of the environment that has upstream's
pytest.importorskip("oslo_messaging")

LOOK = """
import inspect, json
import oslo_messaging
from oslo_messaging import exceptions, notify, serializer, transport
def parameters(what):
    try:
        return list(inspect.signature(what).parameters)
    except (TypeError, ValueError):
        return None
names = [*notify.__all__, *exceptions.__all__, *serializer.__all__, "Target", "TransportURL",
         "TransportHost", "DriverLoadFailure", "InvalidTransportURL"]
found = {name: parameters(getattr(oslo_messaging, name)) for name in names}
for owner in ("Notifier", "TransportURL"):
    for name, what in inspect.getmembers(getattr(oslo_messaging, owner), callable):
        if not name.startswith("_"):
            found[f"{owner}.{name}"] = parameters(what)
print(json.dumps(found))
"""

# Of RPC alone: waiting for a reply, and a call that no server takes.
NOT_OURS = {"MessagingTimeout", "MessageUndeliverable"}


def upstream() -> dict[str, list[str] | None]:
    """Return upstream's public names with their parameters, seen by another process."""
    shown = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, check=True)
    found: dict[str, list[str] | None] = json.loads(shown.stdout)
    return {name: found[name] for name in found if name not in NOT_OURS}


def test_names_and_parameters_are_upstreams() -> None:
    """What upstream offers for notifications we offer, with its parameters, in its order."""
    differences = {}
    for name, parameters in upstream().items():
        ours: object = kafka_notify
        for part in name.split("."):
            ours = getattr(ours, part, None)
        if ours is None:
            differences[name] = "missing"
        elif parameters is not None and not issubclass_of_exception(ours):
            assert callable(ours)
            mine = list(inspect.signature(ours).parameters)
            if mine[: len(parameters)] != parameters:
                differences[name] = f"{mine} for {parameters}"
    assert differences == {}


def issubclass_of_exception(what: object) -> bool:
    """Tell whether it is an error class; those are caught by name, not made."""
    return isinstance(what, type) and issubclass(what, Exception)
