# SPDX-License-Identifier: Apache-2.0
"""Sends go straight only when nothing that was sent before is still to be read from the outbox."""

from __future__ import annotations

import threading

import pytest

from kafka_notify.runtime.outbox import valve as valve_module
from kafka_notify.runtime.outbox.valve import Valve
from kafka_notify.runtime.outgoing import Outgoing

BOUND_S = 10.0
RECORD = Outgoing(topic="t", key=None, value=b"v", message_id=None)


@pytest.fixture
def valve() -> Valve:
    made = Valve(straight=True, max_bytes=1000)
    made.shut("a test")
    return made


def test_it_opens_when_all_was_given(valve):
    """And stays shut when not."""
    assert not valve.open(lambda: False)
    assert not valve.straight
    assert valve.open(lambda: True)
    assert valve.straight


def test_a_send_that_is_storing_keeps_it_shut(valve, monkeypatch):
    """What is given then is not all."""
    monkeypatch.setattr(valve_module, "_TURN_S", 0.01)
    assert valve.enter(RECORD, None) is False
    assert not valve.open(lambda: True)
    valve.leave()
    assert valve.open(lambda: True)


def test_a_send_that_waited_long_enough_keeps_it_shut(valve, monkeypatch):
    """The disk is slow: what was stored while the rest was given is not among it."""
    monkeypatch.setattr(valve_module, "_GATE_S", 0.01)

    def store() -> None:
        assert valve.enter(RECORD, None) is False
        valve.leave()

    def give_the_rest() -> bool:
        sending = threading.Thread(target=store)
        sending.start()
        sending.join(BOUND_S)
        assert not sending.is_alive()
        return True

    assert not valve.open(give_the_rest)
    assert not valve.straight
