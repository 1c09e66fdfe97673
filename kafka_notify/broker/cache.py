# SPDX-License-Identifier: Apache-2.0
"""The folder where jars and data outlive a process, and the lock that processes share.

Must not know what is kept there.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from kafka_notify.errors import BrokerUnavailable, ConfigurationError

CACHE_VARIABLE = "KAFKA_NOTIFY_CACHE"

_LOCK_POLL_S = 0.1


def cache_folder(override: str | os.PathLike[str] | None = None) -> Path:
    """Return the absolute cache folder, without creating it.

    The first of: ``override``, ``$KAFKA_NOTIFY_CACHE``, ``$XDG_CACHE_HOME/kafka-notify``,
    ``~/.cache/kafka-notify``.

    Source: XDG Base Directory Specification (a relative XDG_CACHE_HOME is ignored).
    """
    chosen = override or os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = xdg if xdg.is_absolute() else Path.home() / ".cache"
    return base / "kafka-notify"


def make_folder(folder: Path, *, remedy: str) -> None:
    """Make sure that ``folder`` exists and can be written to.

    ``remedy`` is what the user can do if not: the last part of the message.

    Raises:
        ConfigurationError: naming the folder, the system's reason and the remedy.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise unwritable(folder, reason=_reason(exc), remedy=remedy) from exc
    if not os.access(folder, os.W_OK | os.X_OK):
        raise unwritable(folder, reason="no permission", remedy=remedy)


def unwritable(folder: Path, *, reason: str, remedy: str) -> ConfigurationError:
    """Return the error that says that ``folder`` cannot be written to, why, and what to do."""
    return ConfigurationError(f"cannot write to the folder {folder}: {reason}; {remedy}")


def lock_file(path: Path, *, timeout_s: float, on_wait: Callable[[], None]) -> int:
    """Take the lock on ``path``, which no other process then gets, and return its descriptor.

    Closing the descriptor gives the lock back, as does the end of the process. A process that
    inherited the descriptor holds the lock too, until it ends.

    ``on_wait`` is called once if the lock is not free at once.

    Raises:
        BrokerUnavailable: if another process still holds it after timeout_s.

    Blocks: at most ``timeout_s``.
    """
    deadline = time.monotonic() + timeout_s
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    waited = False
    try:
        while not _try_lock(descriptor):
            if not waited:
                waited = True
                on_wait()
            if time.monotonic() >= deadline:
                raise BrokerUnavailable(
                    f"another process has held {path} for {timeout_s:g} s: wait for it to "
                    f"finish, or end it"
                )
            time.sleep(_LOCK_POLL_S)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _reason(exc: OSError) -> str:
    return exc.strerror or type(exc).__name__
