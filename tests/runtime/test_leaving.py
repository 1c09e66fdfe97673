# SPDX-License-Identifier: Apache-2.0
"""Signals that end a process, wherever they find it."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A handler that runs inside a weak reference's callback raises in vain: imports are full of them.
CALLBACK = """
import os, signal, sys, time, weakref

class Referred:
    pass

def callback(_reference):
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000):
        pass

def be_interrupted_in_a_callback():
    referred = Referred()
    reference = weakref.ref(referred, callback)
    del referred
    print("went on", flush=True)
    time.sleep(60)
"""
LIBRARY = """
import kafka_notify
kafka_notify.exit_cleanly_on()
be_interrupted_in_a_callback()
"""
COMMAND = """
from kafka_notify.cli.signals import Signalled, end_in_good_order
end_in_good_order()
try:
    be_interrupted_in_a_callback()
except Signalled as signalled:
    sys.exit(signalled.exit_code)
"""


@pytest.mark.parametrize("program", [LIBRARY, COMMAND], ids=["library", "command"])
def test_a_signal_that_comes_in_a_callback_of_the_interpreter(program: str) -> None:
    """The process goes on for a moment, and ends all the same."""
    done = subprocess.run(
        [sys.executable, "-c", CALLBACK + program],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "went on\n", "")
