# SPDX-License-Identifier: Apache-2.0
"""Who is measured: each system is a program that knows some of the measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka_notify.bench.process import OURS, RAW

_PEERS = Path(__file__).parents[1] / "peers"
_OSLO = (str(_PEERS / "oslo_peer.py"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One system.

    Attributes:
        title: In tables and plots.
        program: What follows the interpreter on the command line.
        package: Whose version is told, and without which the system is left out.
        module: What its users import.
        options: What the program is told each time.
        url: Of another place than the broker of the run.
    """

    title: str
    program: tuple[str, ...]
    package: str
    module: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    url: str = ""


SYSTEMS: Mapping[str, System] = {
    "raw": System(
        title="raw confluent-kafka",
        program=RAW,
        package="confluent-kafka",
        module="confluent_kafka",
    ),
    "ours": System(
        title="kafka-notify",
        program=OURS,
        package="kafka-notify",
        module="kafka_notify",
    ),
    "plugin": System(
        title="oslo.messaging, kafka-notify://",
        program=_OSLO,
        package="oslo.messaging",
        module="oslo_messaging",
        options={"scheme": "kafka-notify"},
    ),
    "upstream": System(
        title="oslo.messaging, kafka://",
        program=_OSLO,
        package="oslo.messaging",
        module="oslo_messaging",
        options={"scheme": "kafka"},
    ),
    "null": System(
        title="oslo.messaging, a driver that costs nothing",
        program=_OSLO,
        package="oslo.messaging",
        options={"scheme": "null"},
    ),
    "faststream": System(
        title="FastStream (Confluent)",
        program=(str(_PEERS / "faststream_peer.py"),),
        package="faststream",
        module="faststream.confluent",
    ),
    "aiokafka": System(
        title="aiokafka",
        program=(str(_PEERS / "aiokafka_peer.py"),),
        package="aiokafka",
        module="aiokafka",
    ),
    "parallel": System(
        title="Confluent Parallel Consumer",
        program=(str(_PEERS / "parallel_peer.py"),),
        package="jgo",
    ),
    "embedded": System(
        title="kafka-notify, embedded://",
        program=OURS,
        package="kafka-notify",
        url="embedded://bench",
    ),
}
