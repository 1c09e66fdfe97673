# SPDX-License-Identifier: Apache-2.0
"""What oslo.messaging's server holds of a notification, and what it may forget to do with it."""

from __future__ import annotations

import gc

import pytest

from kafka_notify.core import events
from tests.oslo.bench import Bench, record

pytest.importorskip("oslo_messaging")
pytestmark = pytest.mark.functional  # for the environments that have oslo.messaging


def test_what_nobody_settles_holds_up_no_others(bench: Bench) -> None:
    """Whoever drops a notification unsettled has handled it; that is told."""
    bench.give(record(0), record(1))
    [message] = bench.take()
    from kafka_notify.oslo.listener import Incoming

    incoming = Incoming(bench.hands, message)
    del incoming, message
    gc.collect()
    assert bench.payloads() == [1]
    [told] = bench.told
    assert isinstance(told, events.Abandoned)
    assert (told.group, told.message_id) == ("g", "m")


def test_a_thread_in_an_endpoint_is_known(bench: Bench) -> None:
    """From when oslo.messaging's dispatcher reads the message until it is settled."""
    bench.give(record(0))
    [message] = bench.take()
    from kafka_notify.oslo.listener import Incoming

    incoming = Incoming(bench.hands, message)
    assert not bench.hands.runs_here()
    assert incoming.message["payload"] == 0
    assert bench.hands.runs_here()
    incoming.acknowledge()
    assert not bench.hands.runs_here()
