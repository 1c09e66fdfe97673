# SPDX-License-Identifier: Apache-2.0
"""Finds the jars of a Kafka version; downloads them once into the cache folder.

A folder of jars is complete from the moment it has its name: downloads go to a staging folder.
Must not know how a broker is run.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kafka_notify.broker.cache import CACHE_VARIABLE, lock_file, make_folder, unwritable
from kafka_notify.errors import BrokerUnavailable, ConfigurationError, MissingExtra

JARS_VARIABLE = "KAFKA_NOTIFY_JARS"
# The newest version with all its artifacts published.
KAFKA_VERSION = "4.3.1"

_COORDINATES = "org.apache.kafka:kafka_2.13:{version}+org.apache.kafka:kafka-tools:{version}"
_CACHE_REMEDY = (
    f"set {CACHE_VARIABLE} to a folder that you may write to, or {JARS_VARIABLE} to a folder of "
    f"Kafka's jars"
)
_STAGING = "staging-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Jars:
    """The jars of one Kafka: ``files`` is the class path, in order.

    ``ours`` tells that ``folder`` lies in the cache and may be written to.
    """

    folder: Path
    files: tuple[Path, ...]
    ours: bool


def find_jars(
    version: str = KAFKA_VERSION,
    *,
    cache: Path,
    folder: str | os.PathLike[str] | None = None,
    timeout_s: float = 600.0,
    on_progress: Callable[[str], None],
) -> Jars:
    """Return the jars of Kafka ``version``, downloading them if the cache has none.

    Any number of processes may call this at the same time: one downloads, the others wait.
    With ``folder``, by default ``$KAFKA_NOTIFY_JARS``, nothing is downloaded, and the version is
    what that folder holds: Kafka's jars, as ``libs`` of an unpacked Kafka does. Nothing is
    written to it.

    Raises:
        ConfigurationError: no such version, no Kafka in the folder, or the cache is unwritable.
        MissingExtra: a download is needed and the [broker] extra is not installed.
        BrokerUnavailable: the download failed or took longer than timeout_s.

    Blocks: at most ``timeout_s``, nearly always nothing.
    """
    given = folder or os.environ.get(JARS_VARIABLE)
    if given:
        return _given(Path(os.path.abspath(os.path.expanduser(given))))
    if not re.fullmatch(r"([4-9]|[1-9]\d)\.\d+\.\d+", version):
        raise ConfigurationError(
            f"Kafka version {version!r}: give 4.0.0 or later, for example {KAFKA_VERSION} "
            f"(earlier ones do not run on KRaft alone)"
        )
    home = cache / f"kafka-{version}"
    if not home.is_dir():
        _download(version, home=home, timeout_s=timeout_s, on_progress=on_progress)
    return Jars(folder=home, files=_jars_in(home), ours=True)


def _given(folder: Path) -> Jars:
    files = _jars_in(folder)
    if not any(file.name.startswith("kafka_2.") for file in files):
        raise ConfigurationError(
            f"the folder {folder} holds no kafka_2.*.jar: give the folder of Kafka's jars (libs/ "
            f"of an unpacked Kafka), or unset {JARS_VARIABLE} to download them"
        )
    return Jars(folder=folder, files=files, ours=False)


def _jars_in(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.glob("*.jar")))


def _download(
    version: str, *, home: Path, timeout_s: float, on_progress: Callable[[str], None]
) -> None:
    cache = home.parent
    make_folder(cache, remedy=_CACHE_REMEDY)
    deadline = time.monotonic() + timeout_s
    try:
        lock = lock_file(
            cache / "jars.lock",
            timeout_s=timeout_s,
            on_wait=lambda: on_progress("another process downloads Kafka: waiting for it"),
        )
        try:
            if not home.is_dir():
                _download_locked(version, home=home, deadline=deadline, on_progress=on_progress)
        finally:
            os.close(lock)
    except OSError as exc:  # a full disk, for example; what the network does is translated before
        raise unwritable(cache, reason=str(exc), remedy=_CACHE_REMEDY) from exc


def _download_locked(
    version: str, *, home: Path, deadline: float, on_progress: Callable[[str], None]
) -> None:
    try:
        from kafka_notify.broker.maven import download_jars
    except ModuleNotFoundError as exc:
        raise MissingExtra("broker", needed_for="downloading Apache Kafka") from exc
    # Whoever left these behind is gone: we have the lock.
    for stale in home.parent.glob(f"{_STAGING}*"):
        shutil.rmtree(stale, ignore_errors=True)
    on_progress(f"looking up what Apache Kafka {version} consists of (once)")
    coordinates = _COORDINATES.format(version=version)
    with tempfile.TemporaryDirectory(prefix=_STAGING, dir=home.parent) as staging:
        try:
            jars = download_jars(
                coordinates,
                into=Path(staging, "repository"),
                timeout_s=max(0.0, deadline - time.monotonic()),
                on_progress=on_progress,
            )
        except (BrokerUnavailable, ConfigurationError) as exc:
            raise type(exc)(f"Apache Kafka {version} ({coordinates}): {exc}") from exc
        flat = Path(staging, "jars")
        flat.mkdir()
        for jar in jars:
            os.replace(jar, flat / jar.name)
        os.replace(flat, home)
