# SPDX-License-Identifier: Apache-2.0
"""What cannot work is refused or said: by which error, in which words, in which time.

Never by a TransportDriverError, which oslo.messaging's start() of a listener turns into an
AttributeError. Nothing shows a password.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from kafka_notify.broker import Cluster
from tests.conftest import Kafka
from tests.oslo.conftest import SCHEME, url_of
from tests.scenarios.recorder import Recorder
from tests.waiting import eventually

oslo_messaging = pytest.importorskip("oslo_messaging")
_impl_test = pytest.importorskip("oslo_messaging.notify._impl_test")
pytestmark = pytest.mark.functional

Connect = Callable[..., Any]
Configure = Callable[[str], Any]
Listen = Callable[..., Any]

NOBODY = f"{SCHEME}://127.0.0.1:1/"  # nothing listens on port 1
USER, PASSWORD, WRONG = "alice", "s3cret+<pw>", "not-the-p4ssword"


def notifier(transport: Any, topic: str, **arguments: Any) -> Any:
    """Return a notifier to a topic."""
    return oslo_messaging.Notifier(
        transport, "publisher", driver="messagingv2", topics=[topic], **arguments
    )


def errors_of(caplog: pytest.LogCaptureFixture, package: str) -> list[str]:
    """Return what a package logged as an ERROR, with the tracebacks."""
    errors = [one for one in caplog.records if one.levelno >= logging.ERROR]
    return [caplog.handler.format(one) for one in errors if one.name.startswith(package)]


@contextmanager
def within(bound_s: float) -> Iterator[None]:
    """Fail if what is inside takes longer."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < bound_s


class TestOptions:
    """A transport is refused when it is made, with the option's name and what it may be."""

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("max_poll_records=many", "max_poll_records.*'many'"),
            ("max_poll_records=0", "max_poll_records.*0"),
            ("delivery=perhaps", "delivery.*'perhaps'.*confirm"),
            ("conection_timeout=3", "'conection_timeout' is unknown"),
            ("enable_auto_commit=true", "enable_auto_commit"),
        ],
    )
    def test_in_the_url(self, query: str, words: str, connect: Connect) -> None:
        """Wrong type, out of range, no such choice, unknown name, refused value."""
        with pytest.raises(oslo_messaging.DriverLoadFailure, match=words):
            connect(f"{NOBODY}?{query}")

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("max_poll_records = many", "max_poll_records"),
            ("connect_timeout = soon", "connect_timeout"),
            ("delivery = perhaps", "delivery"),
        ],
    )
    def test_in_the_file(
        self, line: str, words: str, configure: Configure, connect: Connect
    ) -> None:
        """The same for an option in the configuration file."""
        with pytest.raises(oslo_messaging.DriverLoadFailure, match=words):
            connect(NOBODY, configure(f"[oslo_messaging_kafka]\n{line}\n"))

    @pytest.mark.parametrize(
        ("vhost", "words"), [("a.b", "virtual host 'a.b'.*dot"), ("a%20b", "'a b'.*illegal")]
    )
    def test_vhost(self, vhost: str, words: str, connect: Connect) -> None:
        """A vhost that no topic can carry."""
        with pytest.raises(oslo_messaging.DriverLoadFailure, match=words):
            connect(f"{NOBODY}{vhost}")

    def test_no_host(self, connect: Connect) -> None:
        """Nothing to connect to; the form that is shown is that of our URL."""
        with pytest.raises(
            oslo_messaging.InvalidTransportURL, match=f"no host; write {SCHEME}://"
        ):
            connect(f"{SCHEME}://")


class TestTargets:
    """What Kafka cannot take as a name."""

    @pytest.mark.parametrize("pool", ["line\nbreak", "p" * 250])
    def test_pool(self, pool: str, connect: Connect, listen: Listen, unique: str) -> None:
        """start() of the listener names the pool; it does not even look for a broker."""
        with within(5), pytest.raises(oslo_messaging.MessagingException, match=r"^pool "):
            listen(connect(NOBODY), unique, Recorder(), pool=pool)

    def test_no_topic(self, connect: Connect, listen: Listen) -> None:
        """A target without a topic is upstream's own InvalidTarget."""
        with pytest.raises(oslo_messaging.InvalidTarget, match="topic"):
            listen(connect(NOBODY), [""], Recorder(), pool="pool")

    def test_listen_on_an_illegal_topic(self, connect: Connect, listen: Listen) -> None:
        """start() names the character."""
        with within(5), pytest.raises(oslo_messaging.MessagingException, match=r"'!'.*illegal"):
            listen(connect(NOBODY), "what!", Recorder())

    def test_send_to_an_illegal_topic(
        self, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The log names the character; oslo.messaging's notifier raises nothing."""
        with within(5):
            notifier(connect(NOBODY), "what!").info({}, "event", {})
        assert "illegal in a Kafka topic's name" in caplog.text


@pytest.mark.parametrize("delivery", ["report", "confirm"])
def test_payload_without_a_json_form(
    delivery: str,
    kafka: Kafka,
    connect: Connect,
    listen: Listen,
    unique: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log says where in the notification it is; those before and after it arrive."""
    transport = connect(url_of(kafka, delivery=delivery))
    recorder = Recorder()
    listen(transport, unique, recorder)
    publisher = notifier(transport, unique, retry=0)
    with within(20):
        for payload in ("before", {"a": [1, {1, object()}]}, "after"):
            publisher.info({}, "event", payload)
    recorder.wait_for(["after"])  # of one publisher, so nothing sent before it is still to come
    assert recorder.payloads == ["before", "after"]
    assert errors_of(caplog, "kafka_notify") == []
    (error,) = errors_of(caplog, "oslo_messaging")
    assert "Could not send notification" in error
    assert "payload/a/1 (set) cannot be written as JSON: object has no JSON form" in error


class TestAfterCleanup:
    """A transport that was cleaned up."""

    def test_sending(
        self, kafka: Kafka, connect: Connect, unique: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The notification is refused in the log, and the next cleanup() is harmless."""
        transport = connect(url_of(kafka))
        publisher = notifier(transport, unique)
        publisher.info({}, "event", 1)
        transport.cleanup()
        publisher.info({}, "event", 2)
        assert "Could not send notification" in caplog.text
        assert "is closed" in caplog.text
        transport.cleanup()

    def test_listening(self, kafka: Kafka, connect: Connect, listen: Listen, unique: str) -> None:
        """start() raises."""
        transport = connect(url_of(kafka))
        transport.cleanup()
        with pytest.raises(oslo_messaging.MessagingException, match="cleaned up"):
            listen(transport, unique, Recorder())

    def test_with_a_listener(
        self, kafka: Kafka, connect: Connect, listen: Listen, unique: str
    ) -> None:
        """cleanup() beside a listener that runs returns, and so do its stop() and wait()."""
        transport = connect(url_of(kafka))
        server = listen(transport, unique, Recorder())
        with within(20):
            transport.cleanup()
            server.stop()
            server.wait()


class TestUnreachable:
    """No broker at the address."""

    def test_report(self, connect: Connect, unique: str, caplog: pytest.LogCaptureFixture) -> None:
        """Each notification is an ERROR in the log with its id and cause, within the bound."""
        transport = connect(f"{NOBODY}?connect_timeout=2&delivery_timeout=2&close_timeout=3")
        publisher = notifier(transport, unique)
        with within(10):
            for number in range(3):
                publisher.info({}, "event", number)
        with within(15):
            transport.cleanup()
        errors = [one for one in caplog.records if one.levelno >= logging.ERROR]
        lost = [one.getMessage() for one in errors if f"{unique}.info" in one.getMessage()]
        assert len(lost) == 3, caplog.text
        assert all("127.0.0.1:1" in line for line in lost), caplog.text

    def test_listener(self, connect: Connect, listen: Listen, unique: str) -> None:
        """start() names the address, within connect_timeout and a little."""
        with (
            within(15),
            pytest.raises(oslo_messaging.MessagingException, match=r"127\.0\.0\.1:1"),
        ):
            listen(connect(f"{NOBODY}?connect_timeout=2"), unique, Recorder())


@pytest.fixture(scope="module")
def guarded() -> Iterator[Cluster]:
    """Yield a Kafka that asks for a login."""
    with Cluster(nodes=1, sasl={USER: PASSWORD}) as cluster:
        yield cluster


def login(cluster: Cluster, password: str, **options: object) -> str:
    """Return the URL of a login."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return (
        f"{SCHEME}://{USER}:{quote(password, safe='')}@{cluster.sasl_bootstrap}/"
        f"?security_protocol=SASL_PLAINTEXT&sasl_mechanism=PLAIN&{query}"
    )


class TestWrongPassword:
    """A login that the cluster refuses is said with its likely cause."""

    def test_the_right_one(
        self, guarded: Cluster, connect: Connect, listen: Listen, unique: str
    ) -> None:
        """With the right one everything works."""
        transport = connect(login(guarded, PASSWORD, kafka_consumer_timeout=0.2))
        recorder = Recorder()
        listen(transport, unique, recorder)
        notifier(transport, unique).info({}, "event", 1)
        recorder.wait(1)

    def test_report(
        self,
        guarded: Cluster,
        configure: Configure,
        connect: Connect,
        unique: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Every notification is named in the log; once the cluster is known to refuse, at once."""
        caplog.set_level(logging.DEBUG, "kafka_notify")
        # The driver "test" keeps what was sent, and with it the ids.
        conf = configure("[oslo_messaging_notifications]\ndriver = messagingv2\ndriver = test\n")
        _impl_test.reset()
        transport = connect(login(guarded, WRONG, delivery_timeout=3, close_timeout=4), conf)
        publisher = oslo_messaging.Notifier(transport, "publisher", topics=[unique])
        publisher.info({}, "event", 1)
        eventually(lambda: "check user and password" in caplog.text, 15, "the cause")
        with within(2):
            publisher.info({}, "event", 2)
        raised = errors_of(caplog, "oslo_messaging")
        with within(10):
            transport.cleanup()
        first, second = [message["message_id"] for _, message, _, _ in _impl_test.NOTIFICATIONS]
        assert len(raised) == 1
        assert "Could not send notification" in raised[0]
        assert second in raised[0]
        assert "check user and password" in raised[0]
        (failed,) = [one for one in errors_of(caplog, "kafka_notify") if first in one]
        assert f"{unique}.info" in failed
        assert WRONG not in caplog.text

    def test_confirm(
        self,
        guarded: Cluster,
        connect: Connect,
        unique: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The send fails with the cause within its time."""
        transport = connect(
            login(guarded, WRONG, delivery="confirm", confirm_timeout=2, close_timeout=0)
        )
        with within(15):
            notifier(transport, unique, retry=0).info({}, "event", 1)
        assert "Could not send notification" in caplog.text
        assert "check user and password" in caplog.text
        assert WRONG not in caplog.text

    def test_listener(
        self,
        guarded: Cluster,
        connect: Connect,
        listen: Listen,
        unique: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """start() raises with the cause."""
        with (
            within(20),
            pytest.raises(
                oslo_messaging.MessagingException, match="check user and password"
            ) as caught,
        ):
            listen(connect(login(guarded, WRONG, connect_timeout=2)), unique, Recorder())
        assert WRONG not in f"{caught.value!r} {caplog.text}"
