# SPDX-License-Identifier: Apache-2.0
"""What Linux tells of a process or thread."""

from __future__ import annotations

from pathlib import Path


def state_of(folder: Path) -> str:
    """Return the state's letter (T: stopped, Z: ended) of ``/proc/PID`` or ``…/task/TID``."""
    return (folder / "stat").read_text().rpartition(")")[2].split()[0]
