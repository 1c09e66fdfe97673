# SPDX-License-Identifier: Apache-2.0
"""A child of fork never waits for a lock that a thread of its parent held."""

import os
import threading

import pytest

import kafka_notify
from kafka_notify.core.events import ContextOmitted

BOUND_S = 10.0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_locks_held_at_the_fork_are_new_in_the_child(connect):
    """Logging and sending go on in the child while the parent's threads hold theirs."""
    transport = connect()
    notifier = kafka_notify.Notifier(transport, "p", driver="noop")
    held, release = threading.Event(), threading.Event()

    def hold():
        with transport._sender._lock:
            held.set()
            release.wait(BOUND_S)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(BOUND_S)
    pid = os.fork()
    if pid == 0:
        worked = threading.Event()

        def work():
            transport.counters.add("sent")
            transport.monitor.emit(ContextOmitted(reason="in the child"))
            notifier.info(object(), "e", {})
            transport.flush(1)
            worked.set()

        threading.Thread(target=work, daemon=True).start()
        os._exit(0 if worked.wait(5) else 1)
    release.set()
    thread.join(BOUND_S)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
