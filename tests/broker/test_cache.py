# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kafka_notify.broker.cache import cache_folder, lock_file, make_folder
from kafka_notify.errors import BrokerUnavailable, ConfigurationError

HOLDER = """
import sys
from pathlib import Path
from kafka_notify.broker.cache import lock_file
lock_file(Path(sys.argv[1]), timeout_s=5, on_wait=lambda: None)
print("locked", flush=True)
sys.stdin.read()
"""


def no_wait() -> None:
    raise AssertionError("the lock is free")


def test_the_cache_folder_is_the_first_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument wins over our variable, that over XDG's, that over the home folder."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("KAFKA_NOTIFY_CACHE", raising=False)
    assert cache_folder() == Path("/home/somebody/.cache/kafka-notify")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path("/home/somebody/.cache/kafka-notify")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/kafka-notify")
    monkeypatch.setenv("KAFKA_NOTIFY_CACHE", "~/mine")
    assert cache_folder() == Path("/home/somebody/mine")
    assert cache_folder("/given") == Path("/given")


def test_a_folder_that_cannot_be_made_is_named_with_a_remedy(tmp_path: Path) -> None:
    """The error names the folder, the reason and what to do; root is refused as well."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as caught:
        make_folder(tmp_path / "file" / "cache", remedy="give another one")
    assert str(caught.value) == (
        f"cannot write to the folder {tmp_path}/file/cache: Not a directory; give another one"
    )


def test_a_lock_is_for_one_process_until_that_ends(tmp_path: Path) -> None:
    """A second process waits, within its bound; the end of the first one frees the lock."""
    path = tmp_path / "lock"
    waits: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(BrokerUnavailable, match=f"{path}.*wait for it"):
            lock_file(path, timeout_s=0.2, on_wait=lambda: waits.append("waiting"))
        holder.send_signal(signal.SIGKILL)
    assert waits == ["waiting"]
    os.close(lock_file(path, timeout_s=0.0, on_wait=no_wait))


def test_a_process_that_inherits_a_lock_keeps_it(tmp_path: Path) -> None:
    """This is how a broker keeps its data folder locked when its owner is gone."""
    path = tmp_path / "lock"
    descriptor = lock_file(path, timeout_s=0.0, on_wait=no_wait)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[descriptor]
    ) as heir:
        os.close(descriptor)
        with pytest.raises(BrokerUnavailable):
            lock_file(path, timeout_s=0.0, on_wait=lambda: None)
        heir.kill()
    os.close(lock_file(path, timeout_s=0.0, on_wait=no_wait))
