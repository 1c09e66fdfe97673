# SPDX-License-Identifier: Apache-2.0
"""commit_policy=share through oslo.messaging: its servers share partitions, without order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from oslo_config import cfg

from tests.conftest import Kafka
from tests.oslo.conftest import url_of
from tests.scenarios.recorder import BatchRecorder, Recorder
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

oslo_messaging = pytest.importorskip("oslo_messaging")
pytestmark = pytest.mark.functional

Connect = Callable[..., Any]
Listen = Callable[..., Any]
COME_S = 60.0


def notify(transport: Any, topic: str, payloads: range) -> None:
    """Send, all by one publisher."""
    notifier = oslo_messaging.Notifier(transport, "p", driver="messagingv2", topics=[topic])
    for payload in payloads:
        notifier.info({}, "event", payload)


def test_servers_share_one_partition(
    bare: BareClient, connect: Connect, kafka: Kafka, listen: Listen, unique: str
) -> None:
    """Each notification once, whoever gets it; the other gets what a server leaves that stops."""
    bare.create(f"{unique}.info", partitions=1)
    first, second = Recorder(), Recorder()
    url = url_of(kafka, commit_policy="share", start_timeout=60, max_poll_records=10)
    going = listen(connect(url), unique, first)
    listen(connect(url), unique, second)
    transport = connect(url)
    for begin in range(0, 200, 10):
        notify(transport, unique, range(begin, begin + 10))
    going.stop()
    going.wait()
    notify(transport, unique, range(200, 220))

    def got() -> list[Any]:
        return first.payloads + second.payloads

    eventually(lambda: len(got()) >= 220, COME_S, "all of them")
    assert sorted(got()) == list(range(220))


def test_requeue_and_dead_letters(
    bare: BareClient,
    configure: Callable[[str], cfg.ConfigOpts],
    connect: Connect,
    kafka: Kafka,
    listen: Listen,
    unique: str,
) -> None:
    """Set in the conf: what asks for it comes again, up to the limit; poison goes at once."""
    conf = configure("[oslo_messaging_kafka]\ncommit_policy = share\nrequeue_limit = 3\n")
    transport = connect(url_of(kafka, start_timeout=60), conf)
    seen: list[Any] = []

    class Endpoint:
        def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> str | None:
            seen.append(payload)
            if payload == 1 or (payload == 2 and seen.count(2) == 1):
                return str(oslo_messaging.NotificationResult.REQUEUE)
            return None

    listen(transport, unique, Endpoint(), allow_requeue=True)
    bare.send(f"{unique}.info", [b"\xff"], key=b"k")
    notify(transport, unique, range(4))
    dlq = f"{unique}.info.dlq"
    eventually(
        lambda: bare.partitions(dlq) and len(bare.read_raw(dlq)) == 2, COME_S, "the dead letters"
    )
    eventually(lambda: seen.count(2) == 2, COME_S, "what asked once")
    assert sorted(seen) == [0, 1, 1, 1, 2, 2, 3]
    attempts = [dict(one.headers() or ())["dlq.attempts"] for one in bare.read_raw(dlq)]
    assert sorted(attempts) == [b"0", b"3"]


def test_batches(connect: Connect, kafka: Kafka, listen: Listen, unique: str) -> None:
    """Lists of at most the batch's size."""
    transport = connect(url_of(kafka, commit_policy="share", start_timeout=60))
    recorder = BatchRecorder()
    listen(transport, unique, recorder, batch_size=10, batch_timeout=0.5)
    notify(transport, unique, range(45))
    batches = recorder.wait(45)
    assert sorted(payload for batch in batches for payload in batch) == list(range(45))
    assert max(map(len, batches)) <= 10
