# SPDX-License-Identifier: Apache-2.0
"""Files of the outbox belong to one process at a time, and to the next when that has ended."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kafka_notify.core.events import Monitor
from kafka_notify.errors import OutboxError
from kafka_notify.runtime.outbox import folder as folder_module
from kafka_notify.runtime.outbox.backlog import Backlog
from kafka_notify.runtime.outbox.folder import Folder, default_spool_dir
from kafka_notify.runtime.outgoing import Outgoing
from tests.waiting import eventually


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(str(tmp_path), "host:9092,other:9092")
    made.prepare()
    return made


def names(folder: Folder) -> list[str]:
    return sorted(os.listdir(folder.path))


def claimed(folder: Folder) -> list[str]:
    """Return the names of what is abandoned, and let go of it."""
    claims = list(folder.abandoned())
    for claim in claims:
        claim.let_go()
    return [claim.path.name for claim in claims]


def test_each_cluster_has_a_folder_of_its_own(tmp_path):
    """Its name begins with the cluster's first host; other people may not look into it."""
    one = Folder(str(tmp_path), "host:9092,other:9092")
    other = Folder(str(tmp_path), "host:9092,third:9092")
    assert one.path != other.path
    assert one.path.name.startswith("host_9092-")
    one.prepare()
    assert one.path.stat().st_mode & 0o777 == 0o700


def test_the_default_folder_follows_xdg(monkeypatch, tmp_path):
    """$XDG_STATE_HOME if it is absolute, else ~/.local/state."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert default_spool_dir() == Path("/var/state/kafka-notify")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_spool_dir() == tmp_path / ".local/state/kafka-notify"


@pytest.mark.parametrize("made", ["file", "below a file", "not writable"])
def test_a_folder_that_cannot_be_used_is_named(tmp_path, monkeypatch, made):
    """The error says which folder, why, and what to do."""
    spool = tmp_path / "spool"
    if made == "not writable":
        spool.mkdir()
        monkeypatch.setattr(os, "access", lambda *_arguments: False)  # root may write anywhere
    else:
        spool.write_text("")
    folder = Folder(str(spool / "below" if made == "below a file" else spool), "host:9092")
    with pytest.raises(OutboxError, match=rf"{spool}.*spool_dir"):
        folder.prepare()


def test_a_claimed_file_is_nobody_elses(folder):
    """Not even another transport's of this process; when it is let go, it is anybody's."""
    claim = folder.new()
    claim.path.write_text("")
    assert claimed(folder) == []
    claim.let_go()
    assert claimed(folder) == [claim.path.name]
    again = next(folder.abandoned())
    assert claimed(folder) == []
    again.let_go()


def test_files_are_adopted_in_the_order_of_their_making(folder, monkeypatch):
    """The oldest first, though the clock is set back meanwhile."""

    class Clock(folder_module.datetime):
        hours = itertools.chain([10, 11, 9, 8], itertools.count(12))

        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 1, next(cls.hours), tzinfo=tz)

    monkeypatch.setattr(folder_module, "datetime", Clock)
    made = []
    for _ in range(6):
        claim = folder.new()
        claim.path.write_text("")
        claim.let_go()
        made.append(claim.path.name)
    assert claimed(folder) == made


def test_a_file_that_takes_anothers_place_takes_its_turn(folder):
    """What was salvaged comes where the damaged file would have come."""
    made = []
    for _ in range(3):
        claim = folder.new()
        claim.path.write_text("")
        claim.let_go()
        made.append(claim)
    beside = folder.beside(made[1].path)
    beside.path.write_text("")
    beside.let_go()
    made[1].path.unlink()
    assert claimed(folder) == [made[0].path.name, beside.path.name, made[2].path.name]


def test_nothing_is_left_of_a_file_that_is_gone(folder):
    """Its lock goes with it, and so does the lock of one that was never made."""
    claim = folder.new()
    claim.path.write_text("")
    claim.path.unlink()
    claim.let_go()
    assert names(folder) == []
    (folder.path / "20260101T000000.000000-1-abc.lock").write_text("")
    assert claimed(folder) == []
    assert names(folder) == []


HOLD = """
import sys
from kafka_notify.runtime.outbox.folder import Folder
claim = Folder(sys.argv[1], "host:9092,other:9092").new()
claim.path.write_text("")
print(claim.path.name, flush=True)
sys.stdin.readline()
"""


def holding(program: str, tmp_path: Path) -> subprocess.Popen[str]:
    """Start a process that claims a file."""
    return subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_file_is_abandoned_when_its_process_is_killed(folder, tmp_path):
    """And not before."""
    with holding(HOLD, tmp_path) as process:
        name = process.stdout.readline().strip()
        assert claimed(folder) == []
        process.kill()
        process.wait()
    assert claimed(folder) == [name]


FORK = f"""
import os
{HOLD}
if not os.fork():
    sys.stdin.readline()
    os._exit(0)
claim.let_go()
print("let go", flush=True)
sys.stdin.readline()
"""


def test_a_child_of_fork_holds_nothing_of_its_parents(folder, tmp_path):
    """The parent's file is free when the parent lets go of it, though the child lives on."""
    with holding(FORK, tmp_path) as process:
        name = process.stdout.readline().strip()
        assert claimed(folder) == []
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "let go\n"
        # The child closes its copy of the lock when it comes to run.
        eventually(lambda: claimed(folder) == [name], 10, "a free file")


def test_files_and_folders_of_others_are_left_alone(folder):
    """Damaged ones that were put aside, and whatever else lies there."""
    for name in ("a.sqlite3.corrupt", "a.sqlite3.corrupt-wal", "notes.txt", "b.sqlite3-wal"):
        (folder.path / name).write_text("")
    before = names(folder)
    assert claimed(folder) == []
    assert names(folder) == before


def backlog(folder: Folder, path: Path | None = None) -> Backlog:
    claims = folder.abandoned()
    claim = folder.new() if path is None else next(one for one in claims if one.path == path)
    return Backlog(folder, claim, max_bytes=1 << 30, numbers=itertools.count(1), monitor=Monitor())


def record(number: int) -> Outgoing:
    return Outgoing(topic="t", key=None, value=b"%d" % number, message_id=None)


def test_a_backlog_reads_each_row_once(folder):
    """What comes in while it reads is read later; what is kept below the mark is not."""
    mine = backlog(folder)
    assert not mine.has_unread(0)
    for number in range(1, 4):
        mine.put(record(number))
    first = mine.read(0, limit=2, max_bytes=1000)
    assert [row.seq for row in first] == [1, 2]
    mine.put(record(4))
    assert mine.has_unread(0)
    assert [row.seq for row in mine.read(0, limit=10, max_bytes=1000)] == [3, 4]
    assert not mine.has_unread(0)
    assert mine.read(0, limit=10, max_bytes=1000) == []
    for seq in (1, 2, 4):
        mine.done(seq)
    assert mine.count == 1
    mine.settle()
    assert mine.close() == 1
    again = backlog(folder, mine.path)
    assert [row.seq for row in again.read(0, limit=10, max_bytes=1000)] == [3]
    again.done(3)
    assert again.close() == 0
    assert names(folder) == []
