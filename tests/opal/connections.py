# SPDX-License-Identifier: Apache-2.0
"""How many connections a process has to a port, from /proc."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_ESTABLISHED = "01"


def to_port(pid: int, port: int) -> int:
    """Return the established TCP connections of a process to a port."""
    sockets = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(entry).removeprefix("socket:[").removesuffix("]"))
    found = 0
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if (
                int(fields[2].rpartition(":")[2], 16) == port
                and fields[3] == _ESTABLISHED
                and fields[9] in sockets
            ):
                found += 1
    return found
