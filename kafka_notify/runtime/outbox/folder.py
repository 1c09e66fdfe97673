# SPDX-License-Identifier: Apache-2.0
"""Where the files of the outbox lie, and whose each is.

A process holds a lock on a file beside each of its own; the operating system lets go of it when
the process ends, however it does. A file whose lock is free was abandoned, and may be adopted.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from kafka_notify import fork
from kafka_notify.errors import OutboxError
from kafka_notify.native import threading

FILE = ".sqlite3"
CORRUPT = ".corrupt"
_LOCK = ".lock"
_DIGEST_LENGTH = 12
_TRIES = 10


def default_spool_dir() -> Path:
    """Return the folder for a service that names none, as the XDG specification has it."""
    state = os.environ.get("XDG_STATE_HOME", "")
    home = Path(state) if os.path.isabs(state) else Path("~/.local/state").expanduser()
    return home / "kafka-notify"


class Claim:
    """The right to one file, held until it is let go or the process ends."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    @property
    def _lock_path(self) -> Path:
        return self.path.with_suffix(_LOCK)

    def let_go(self) -> None:
        """Let others have the file, if it is still there. Idempotent."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        if not self.path.exists():
            with suppress(OSError):
                self._lock_path.unlink()
        _release(lock)

    def abandon(self) -> None:
        """Forget it in a child of fork, which has closed it: the file is the parent's."""
        self._lock = None


class Folder:
    """The files for one cluster, as its address names it. Threads: any."""

    def __init__(self, spool_dir: str, address: str) -> None:
        """``address`` holds no credentials."""
        root = Path(spool_dir).expanduser() if spool_dir else default_spool_dir()
        digest = hashlib.sha256(address.encode()).hexdigest()[:_DIGEST_LENGTH]
        # Its beginning is for people: they look for the cluster by its first host.
        first = re.sub(r"[^A-Za-z0-9.-]+", "_", address.partition(",")[0])[:80]
        self.path = root / f"{first}-{digest}"

    def prepare(self) -> None:
        """Make the folder; raise OutboxError if files cannot be made in it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError("this user may not write there")
        except OSError as error:
            raise OutboxError(
                f"outbox folder {self.path}: {error}; let this user write there, set the option "
                "spool_dir to another folder, or set outbox=off"
            ) from error

    def new(self) -> Claim:
        """Claim a new file, which is not there yet; its name begins with the time, then the pid.

        Raises OutboxError.
        """
        began = self._later_than_all(datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%f"))
        for _ in range(_TRIES):
            name = f"{began}-{os.getpid()}-{secrets.token_hex(4)}"
            claim = self._claim(self.path / f"{name}{FILE}")
            if claim is not None:
                return claim
        raise OutboxError(f"outbox folder {self.path}: no file in it can be locked")

    def _later_than_all(self, began: str) -> str:
        """Return a beginning that sorts last, though the clock may have been set back."""
        names = [name for name in self._names() if name.endswith(FILE)]
        last = max(names, default="")
        return began if f"{began}-" > last else f"{last.partition('-')[0]}~"

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise OutboxError(f"outbox folder {self.path}: {error}") from error

    def beside(self, path: Path) -> Claim:
        """Claim a new file whose name comes right after that of ``path``."""
        for number in range(1, _TRIES + 1):
            other = path.with_name(f"{path.stem}+{number}{FILE}")
            if not other.exists() and (claim := self._claim(other)) is not None:
                return claim
        raise OutboxError(f"outbox folder {self.path}: no file in it can be locked")

    def abandoned(self) -> Iterator[Claim]:
        """Claim each file that nobody holds, the oldest first. Raises OutboxError."""
        names = set(self._names())
        for name in sorted(names):
            path = (self.path / name).with_suffix(FILE)
            if not (name == path.name or (name.endswith(_LOCK) and path.name not in names)):
                continue
            claim = None
            with suppress(OutboxError):  # another user's, say: the others are not to wait for it
                claim = self._claim(path)
            if claim is not None and path.exists():
                yield claim
            elif claim is not None:  # a lock that was left without its file
                claim.let_go()

    def _claim(self, path: Path) -> Claim | None:
        """Lock the file beside ``path``; return None if another process, or this one, has it."""
        lock_path = path.with_suffix(_LOCK)
        try:
            with _claiming:
                lock = os.open(lock_path, os.O_CREAT | os.O_RDWR, 0o600)
                _locks.add(lock)
        except OSError as error:
            raise OutboxError(
                f"outbox folder {self.path}: {error}; see to its permissions, or set the option "
                "spool_dir to another folder"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may have removed it, and this would be the lock of nothing.
            if os.path.samestat(os.fstat(lock), os.stat(lock_path)):
                return Claim(path, lock)
        except OSError:
            pass
        _release(lock)
        return None


# --- fork: a lock that a child holds, too, would outlive its parent

_claiming = threading.Lock()
_locks: set[int] = set()


def _release(lock: int) -> None:
    with _claiming:
        _locks.discard(lock)
        os.close(lock)


def _in_child() -> None:
    for lock in _locks:
        os.close(lock)
    _locks.clear()
    _claiming.release()


fork.register_hold(_claiming.acquire, _claiming.release, in_child=_in_child)
