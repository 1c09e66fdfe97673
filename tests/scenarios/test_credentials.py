# SPDX-License-Identifier: Apache-2.0
"""Logging in: the right password works, a wrong one is said, in time and without showing it."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote

import pytest

import kafka_notify
from kafka_notify.broker import Cluster
from kafka_notify.errors import BrokerError, BrokerRefused, DeliveryError, DeliveryRefused
from tests.scenarios.conftest import PASSWORD, USER
from tests.scenarios.recorder import Recorder
from tests.waiting import eventually

pytestmark = pytest.mark.functional

Connect = Callable[..., kafka_notify.NotificationTransport]
BOUND_S = 30.0
WRONG = "not-the-p4ssword"


def url(cluster: Cluster, password: str, mechanism: str, **options: object) -> str:
    """Return a URL for the cluster's SASL listener."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return (
        f"kafka://{USER}:{quote(password, safe='')}@{cluster.sasl_bootstrap}/"
        f"?security_protocol=SASL_PLAINTEXT&sasl_mechanism={mechanism}&{query}"
    )


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_the_right_password_works(
    mechanism: str, connect: Connect, brisk_cluster: Cluster, unique: str
) -> None:
    """Sending with confirm, and listening."""
    where = url(brisk_cluster, PASSWORD, mechanism, delivery="confirm", kafka_consumer_timeout=0.2)
    transport = connect(where)
    recorder = Recorder()
    listener = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic=unique)], [recorder], pool=unique
    )
    listener.start()
    kafka_notify.Notifier(transport, "p", topics=[unique], retry=0).info({}, "login", 1)
    recorder.wait(1)
    assert recorder.payloads == [1]


def test_a_wrong_password_fails_a_confirmed_send(
    connect: Connect, brisk_cluster: Cluster, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The error names the likely cause within the bound; nothing shows the password."""
    where = url(
        brisk_cluster, WRONG, "PLAIN", delivery="confirm", confirm_timeout=2, close_timeout=0
    )
    notifier = kafka_notify.Notifier(connect(where), "p", topics=[unique], retry=0)
    began = time.monotonic()
    with pytest.raises((DeliveryError, BrokerError), match="check user and password") as caught:
        notifier.info({}, "login", 1)
    assert time.monotonic() - began < BOUND_S
    assert WRONG not in f"{caught.value!r} {caplog.text} {notifier.transport!r}"


def test_a_wrong_password_fails_start(
    connect: Connect, brisk_cluster: Cluster, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    """start() and check_connection() say the same, within their bounds."""
    where = url(brisk_cluster, WRONG, "PLAIN", connect_timeout=2)
    transport = connect(where)
    listener = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic=unique)], [Recorder()], pool=unique
    )
    began = time.monotonic()
    with pytest.raises(BrokerRefused, match="check user and password") as caught:
        listener.start()
    with pytest.raises(BrokerRefused, match="check user and password"):
        transport.check_connection()
    assert time.monotonic() - began < BOUND_S
    assert WRONG not in f"{caught.value!r} {caplog.text} {transport!r}"


def test_a_wrong_password_makes_later_sends_raise_at_once(
    connect: Connect, brisk_cluster: Cluster, unique: str
) -> None:
    """With delivery=report, as soon as it is known; the error says so, without the password."""
    transport = connect(url(brisk_cluster, WRONG, "PLAIN", close_timeout=0))
    notifier = kafka_notify.Notifier(transport, "p", topics=[unique])

    def refused() -> DeliveryRefused | None:
        try:
            notifier.info({}, "login", 1)
        except DeliveryRefused as error:
            return error
        return None

    error = eventually(refused, BOUND_S, "a send that raises")
    assert error is not None
    assert brisk_cluster.sasl_bootstrap in str(error)
    assert "check user and password" in str(error)
    assert WRONG not in str(error)
