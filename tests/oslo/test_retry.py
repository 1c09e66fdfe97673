# SPDX-License-Identifier: Apache-2.0
"""What a notifier's ``retry`` means with delivery=confirm: how often a send is tried, and no more.

oslo.messaging's notifier raises nothing: a send that failed in the end is one ERROR in the log.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kafka_notify.broker import Cluster
from tests.conftest import Kafka
from tests.oslo.conftest import SCHEME, url_of
from tests.scenarios.topics import BareClient

oslo_messaging = pytest.importorskip("oslo_messaging")
pytestmark = pytest.mark.functional

Connect = Callable[..., Any]
Configure = Callable[[str], Any]

NOBODY = f"{SCHEME}://127.0.0.1:1/"  # nothing listens on port 1
MARGIN_S = 10.0  # what a busy machine may add to a bound
BACK_S = 60.0  # a send that a broker can take has ended by then


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what oslo.messaging logged of sends that failed, with the tracebacks."""
    texts = [caplog.handler.format(one) for one in caplog.records if one.levelname == "ERROR"]
    return [text for text in texts if "Could not send notification" in text]


@pytest.mark.parametrize(
    ("configured", "argument", "attempts"),
    [("", 0, 1), ("", 2, 3), ("retry = 2", None, 3), ("retry = 5", 1, 2)],
    ids=["0", "2", "2-configured", "1-over-configured"],
)
def test_as_many_attempts_as_retry_says(
    configured: str,
    argument: int | None,
    attempts: int,
    configure: Configure,
    connect: Connect,
    unique: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No broker is there: one attempt and ``retry`` more, each in its time; then one ERROR."""
    conf = configure(f"[oslo_messaging_notifications]\n{configured}\n")
    transport = connect(f"{NOBODY}?delivery=confirm&confirm_timeout=1&close_timeout=1", conf)
    notifier = oslo_messaging.Notifier(
        transport, "publisher", driver="messagingv2", topics=[unique], retry=argument
    )
    began = time.monotonic()
    notifier.info({}, "event", "in vain")
    assert attempts <= time.monotonic() - began < attempts + MARGIN_S
    (error,) = failures(caplog)
    assert f"in {attempts} attempt(s) of 1 s" in error
    began = time.monotonic()
    transport.cleanup()
    assert time.monotonic() - began < 1 + MARGIN_S


@pytest.fixture(scope="module")
def coming_back() -> Iterator[Cluster]:
    """Yield a Kafka of our own, to stop and start."""
    with Cluster(nodes=1) as cluster:
        yield cluster


@pytest.mark.parametrize("retry", [None, -1])
def test_for_ever(
    retry: int | None,
    coming_back: Cluster,
    connect: Connect,
    unique: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The broker is away at first: info() goes on trying, and returns when it has come back."""
    bare = BareClient(coming_back.bootstrap)
    bare.create(f"{unique}.info")
    url = url_of(Kafka(bootstrap=coming_back.bootstrap), delivery="confirm", confirm_timeout=3)
    coming_back.stop(0)
    try:
        transport = connect(url)
        notifier = oslo_messaging.Notifier(
            transport, "publisher", driver="messagingv2", topics=[unique], retry=retry
        )
        sending = threading.Thread(target=notifier.info, args=({}, "event", "once"))
        sending.start()
        sending.join(3 * 2.5)
        assert sending.is_alive(), "it gave up"  # two attempts have failed
    finally:
        coming_back.start(0)
    sending.join(BACK_S)
    assert not sending.is_alive()
    assert bare.payloads(f"{unique}.info") == ["once"]
    transport.cleanup()
    assert bare.payloads(f"{unique}.info") == ["once"]
    assert failures(caplog) == []
