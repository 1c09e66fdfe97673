# SPDX-License-Identifier: Apache-2.0
"""Threads, locks, pipes, sockets and sleeps of the operating system, under eventlet as without.

eventlet replaces these modules in place. librdkafka calls back from threads that eventlet knows
nothing of, and a green lock in such a thread breaks the hub; so all of our threads and locks are
real ones, and only ``kafka_notify.oslo`` meets green threads.
"""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
import time

__all__ = ["PATCHED", "os", "queue", "socket", "threading", "time"]


def _is_patched() -> bool:
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and bool(patcher.is_monkey_patched("thread"))


PATCHED = _is_patched()
"""Whether eventlet had replaced the modules when this library was imported."""

if PATCHED:
    from eventlet import patcher

    os = patcher.original("os")
    threading = patcher.original("threading")
    queue = patcher.original("queue")
    socket = patcher.original("socket")
    time = patcher.original("time")


def is_patched_too_late() -> bool:
    """Tell whether eventlet has replaced the modules since: our locks would be green then."""
    return _is_patched() and not PATCHED
