# SPDX-License-Identifier: Apache-2.0
"""On what and with what a run was made."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from kafka_notify.broker import KAFKA_VERSION

_PACKAGES = (
    "kafka-notify",
    "confluent-kafka",
    "oslo.messaging",
    "faststream",
    "aiokafka",
    "orjson",
)
_GIB = 2**30


def version_of(package: str) -> str | None:
    """Return the version of an installed package, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Return the version of everything that has a part in the figures."""
    import confluent_kafka

    found = {package: version_of(package) for package in _PACKAGES}
    return {
        **{package: version for package, version in found.items() if version},
        "librdkafka": confluent_kafka.libversion()[0],
        "Apache Kafka": KAFKA_VERSION,
        "Java": _java(),
        "Confluent Parallel Consumer": _parallel_consumer(),
        "Python": _python(),
    }


def _python() -> str:
    """Tell the distribution's, which is optimised with a profile, from one built elsewhere."""
    version = platform.python_version()
    if sys.base_prefix != "/usr":
        return version
    with suppress(OSError):
        return f"{version} of {platform.freedesktop_os_release()['PRETTY_NAME']}"
    return version


def _java() -> str:
    from kafka_notify.broker.java import find_java

    return ".".join(map(str, find_java().version))


def _parallel_consumer() -> str:
    source = Path(__file__).parents[1] / "peers" / "parallel_peer.py"
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("VERSION = "):
            return line.split('"')[1]
    raise LookupError("the peer's version is not where it was")


def machine() -> dict[str, Any]:
    """Return the processor, the cores, the memory and the system."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
