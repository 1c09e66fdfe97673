# SPDX-License-Identifier: Apache-2.0
"""What signals do to a thread that waits; in processes of their own, which may hang."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from kafka_notify.runtime.latch import Latch
from tests.waiting import eventually

BOUND_S = 60.0

# The signal is another thread's, so that the one that waits is not woken: what happens by itself
# to a signal that comes as the wait begins.
UNWOKEN = """
import signal, threading, time
import kafka_notify

class Endpoint:
    def info(self, *_notification):
        pass

def send():
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

transport = kafka_notify.get_notification_transport(url="memory://")
listener = kafka_notify.get_notification_listener(
    transport, [kafka_notify.Target(topic="t")], [Endpoint()])
listener.start()
signal.signal(signal.SIGTERM, lambda *_: listener.stop())
threading.Thread(target=send).start()
listener.wait()
print("ended")
"""

# A handler now and then runs while its thread is within the latch.
AT_ANY_TIME = """
import random, signal
from kafka_notify.runtime import latch as module

module._LOOK_S = 0.002
latch = module.Latch()
signal.signal(signal.SIGALRM, lambda *_: latch.set())
for _ in range(20_000):
    latch.clear()
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 5e-5))
    latch.wait()
    latch.set()
print("ended")
"""


@pytest.mark.parametrize("program", [UNWOKEN, AT_ANY_TIME], ids=["unwoken", "at-any-time"])
def test_signals(program: str) -> None:
    """Whenever they come, their handlers run soon and wait for nobody."""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert ended.stdout == "ended\n", ended.stderr


def test_all_who_wait_go_on() -> None:
    """Also those who come later, until it is cleared."""
    latch = Latch()
    threads = [threading.Thread(target=latch.wait, daemon=True) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert not latch.is_set()
    latch.set()
    eventually(lambda: not any(map(threading.Thread.is_alive, threads)), BOUND_S, "all go on")
    latch.wait()
    latch.clear()
    late = threading.Thread(target=latch.wait, daemon=True)
    late.start()
    late.join(1.2)
    assert late.is_alive()
    latch.set()
    late.join(BOUND_S)
    assert not late.is_alive()
