# SPDX-License-Identifier: Apache-2.0
"""What services do with oslo.messaging's notifications, over our URL and otherwise unchanged."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from tests.conftest import Kafka
from tests.oslo.conftest import url_of
from tests.scenarios.processes import Process
from tests.scenarios.recorder import BatchRecorder, Recorder
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

oslo_messaging = pytest.importorskip("oslo_messaging")
pytestmark = pytest.mark.functional

WORKERS = Path(__file__).parent / "workers"
Configure = Callable[[str], cfg.ConfigOpts]
Connect = Callable[..., Any]
Listen = Callable[..., Any]

PRIORITIES = ("audit", "debug", "info", "warn", "error", "critical", "sample")


def section(kafka: Kafka, *lines: str) -> str:
    """Return the section of notifications in a service's configuration file."""
    url = f"transport_url = {url_of(kafka)}"
    return "\n".join(["[oslo_messaging_notifications]", url, *lines, ""])


@pytest.mark.parametrize(
    ("drivers", "enabled"), [("messagingv2", True), ("noop", False), ("noop, messaging", True)]
)
def test_is_enabled(
    drivers: str, enabled: bool, configure: Configure, connect: Connect, kafka: Kafka
) -> None:
    """As configured; and nothing connects for the answer."""
    conf = configure(
        section(kafka, *(f"driver = {driver.strip()}" for driver in drivers.split(",")))
    )
    assert oslo_messaging.Notifier(connect(conf=conf), "publisher").is_enabled() is enabled


def test_every_priority(connect: Connect, kafka: Kafka, listen: Listen, unique: str) -> None:
    """Each method of a notifier reaches the endpoint's method of that name."""
    recorder = Recorder(*PRIORITIES)
    transport = connect(url_of(kafka))
    listen(transport, unique, recorder)
    notifier = oslo_messaging.Notifier(
        transport, "publisher", driver="messagingv2", topics=[unique]
    )
    for priority in PRIORITIES:
        getattr(notifier, priority)({}, f"event.{priority}", {"is": priority})
    calls = recorder.wait(len(PRIORITIES))
    assert sorted(call.priority for call in calls) == sorted(PRIORITIES)
    for call in calls:
        assert call[1:5] == (
            {},
            "publisher",
            f"event.{call.priority}",
            {"is": call.priority},
        )


def test_topics_and_prepare(
    configure: Configure, connect: Connect, kafka: Kafka, listen: Listen, unique: str
) -> None:
    """A notifier sends to each of its configured topics, as the publisher it is prepared for."""
    topics = [f"{unique}-a", f"{unique}-b"]
    conf = configure(section(kafka, "driver = messagingv2", f"topics = {','.join(topics)}"))
    recorder = Recorder()
    listen(connect(url_of(kafka)), topics, recorder)
    notifier = oslo_messaging.Notifier(connect(conf=conf), "first")
    notifier.info({}, "event", 1)
    notifier.prepare(publisher_id="second").info({}, "event", 2)
    recorder.wait(4)
    assert sorted((call.publisher_id, call.payload) for call in recorder.calls) == [
        ("first", 1),
        ("first", 1),
        ("second", 2),
        ("second", 2),
    ]


def test_several_drivers(
    configure: Configure,
    connect: Connect,
    kafka: Kafka,
    listen: Listen,
    unique: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A notifier with more than one driver sends over our URL, and to the log."""
    lines = ("driver = messagingv2", "driver = log", f"topics = {unique}")
    recorder = Recorder()
    listen(connect(url_of(kafka)), unique, recorder)
    conf = configure(section(kafka, *lines))
    with caplog.at_level(logging.INFO, "oslo.messaging.notification"):
        oslo_messaging.Notifier(connect(conf=conf), "publisher").info({}, "event", "to both")
    recorder.wait(1)
    assert recorder.payloads == ["to both"]
    assert [name for name, _, text in caplog.record_tuples if "to both" in text] == [
        "oslo.messaging.notification.event"
    ]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its open file
def test_routing(
    global_conf: Configure,
    connect: Connect,
    kafka: Kafka,
    listen: Listen,
    unique: str,
    tmp_path: Path,
) -> None:
    """Upstream's routing driver sends over our URL what it sends over its own in-memory one.

    What its rules say, that should be; oslo.messaging 18.3.1 makes the drivers that it routes to
    without their arguments, and so routes to none.
    """
    rules = tmp_path / "routing.yaml"
    rules.write_text("group:\n  messagingv2:\n    accepted_events: ['compute.*']\n")
    lines = ("driver = routing", f"routing_config = {rules}", f"topics = {unique}")
    conf = global_conf(section(kafka, *lines))
    arrived = []
    for url in ("fake://", None):
        transport = connect(url, conf=conf)
        recorder = Recorder()
        listen(transport, unique, recorder)
        notifier = oslo_messaging.Notifier(transport, "p")
        notifier.info({}, "image.create", "elsewhere")
        notifier.info({}, "compute.create", "here")
        # Of the same publisher, and past the routing: what was routed comes before it.
        direct = oslo_messaging.Notifier(transport, "p", driver="messagingv2", topics=[unique])
        direct.info({}, "last", "last")
        recorder.wait_for(["last"])
        arrived.append(recorder.payloads)
    over_fake, over_us = arrived
    assert over_us == over_fake
    assert over_us in (["here", "last"], ["last"])


def test_pools(connect: Connect, kafka: Kafka, listen: Listen, unique: str) -> None:
    """Each pool gets everything once, however many listeners it has."""
    transport = connect(url_of(kafka))
    pools: dict[str, list[Recorder]] = {"one": [Recorder()], "two": [Recorder(), Recorder()]}
    for pool, recorders in pools.items():
        for recorder in recorders:
            listen(transport, unique, recorder, pool=f"{unique}-{pool}")
    notifier = oslo_messaging.Notifier(transport, driver="messagingv2", topics=[unique])
    for number in range(200):
        notifier.prepare(publisher_id=f"publisher-{number % 16}").info({}, "event", number)
    pools["one"][0].wait(200)
    assert sorted(pools["one"][0].payloads) == list(range(200))
    first, second = pools["two"]
    eventually(lambda: len(first.calls) + len(second.calls) >= 200, 60, "all of the other pool")
    assert sorted(first.payloads + second.payloads) == list(range(200))


def test_filter(connect: Connect, kafka: Kafka, listen: Listen, unique: str) -> None:
    """An endpoint's filter_rule is asked."""
    transport = connect(url_of(kafka))
    picky, open_to_all = Recorder(), Recorder()
    picky.filter_rule = oslo_messaging.NotificationFilter(event_type="wanted.*")
    listen(transport, unique, picky, open_to_all)
    notifier = oslo_messaging.Notifier(
        transport, "publisher", driver="messagingv2", topics=[unique]
    )
    for event in ("other.one", "wanted.one", "wanted.two"):
        notifier.info({}, event, {})
    open_to_all.wait(3)
    picky.wait(2)
    assert sorted(str(call.event_type) for call in picky.calls) == ["wanted.one", "wanted.two"]


class TestBatches:
    """Batch listeners: full batches as soon as they are, the rest after the time."""

    def test_full_and_left_over(
        self, connect: Connect, kafka: Kafka, listen: Listen, unique: str
    ) -> None:
        """25 by 10: two full batches at once, and the last five when the time is over."""
        transport = connect(url_of(kafka))
        recorder = BatchRecorder()
        listen(transport, unique, recorder, batch_size=10, batch_timeout=3)
        notifier = oslo_messaging.Notifier(
            transport, "publisher", driver="messagingv2", topics=[unique]
        )
        for number in range(25):
            notifier.info({}, "event", number)
        batches = recorder.wait(25)
        assert sorted(map(len, batches)) == [5, 10, 10]
        assert sorted(number for batch in batches for number in batch) == list(range(25))

    def test_in_order(self, connect: Connect, kafka: Kafka, listen: Listen, unique: str) -> None:
        """What one publisher sent is in the batches as it was sent."""
        transport = connect(url_of(kafka))
        recorder = BatchRecorder()
        listen(transport, unique, recorder, batch_size=50, batch_timeout=0.5)
        notifier = oslo_messaging.Notifier(
            transport, "publisher", driver="messagingv2", topics=[unique]
        )
        for number in range(1000):
            notifier.info({}, "event", number)
        received = [number for batch in recorder.wait(1000) for number in batch]
        assert received == list(range(1000))


def test_publishers_order(connect: Connect, kafka: Kafka, listen: Listen, unique: str) -> None:
    """Each publisher's notifications enter the endpoint in their order, though 64 threads run."""
    entered: list[tuple[int, int]] = []
    lock = threading.Lock()

    def enter(payload: list[int]) -> None:
        with lock:
            entered.append((payload[0], payload[1]))

    transport = connect(url_of(kafka))
    recorder = Recorder(on_call=enter)
    listen(transport, unique, recorder)
    notifier = oslo_messaging.Notifier(transport, driver="messagingv2", topics=[unique])
    publishers = [notifier.prepare(publisher_id=f"publisher-{one}") for one in range(8)]
    for number in range(250):
        for one, publisher in enumerate(publishers):
            publisher.info({}, "event", [one, number])
    recorder.wait(2000)
    for one in range(8):
        assert [number for by, number in entered if by == one] == list(range(250))


class TestContext:
    """What of a request's context travels, upstream decides; what travels arrives."""

    @pytest.fixture
    def sent(self) -> Any:
        context = pytest.importorskip("oslo_context.context")
        return context.RequestContext(
            auth_token="s3cret", user_id="u1", project_id="p1", roles=["member"], overwrite=False
        )

    def test_request_context(
        self, sent: Any, connect: Connect, kafka: Kafka, listen: Listen, unique: str
    ) -> None:
        """The endpoint gets, as a dict, what redacted_copy() leaves of a context: no token."""
        transport = connect(url_of(kafka))
        recorder = Recorder()
        listen(transport, unique, recorder)
        notifier = oslo_messaging.Notifier(transport, driver="messagingv2", topics=[unique])
        notifier.info(sent, "event", {})
        (call,) = recorder.wait(1)
        assert call.ctxt == sent.redacted_copy().to_dict()
        assert call.ctxt["request_id"] == sent.request_id
        assert "s3cret" not in str(call.ctxt)

    def test_serializer(
        self, sent: Any, connect: Connect, kafka: Kafka, listen: Listen, unique: str
    ) -> None:
        """A service's serializer makes a context of it again."""

        class Serializer(oslo_messaging.NoOpSerializer):  # type: ignore[name-defined, misc]
            def serialize_context(self, ctxt: Any) -> Any:
                return ctxt.to_dict()

            def deserialize_context(self, ctxt: Any) -> Any:
                return type(sent).from_dict(ctxt)

        transport = connect(url_of(kafka))
        recorder = Recorder()
        listen(transport, unique, recorder, serializer=Serializer())
        notifier = oslo_messaging.Notifier(
            transport, driver="messagingv2", topics=[unique], serializer=Serializer()
        )
        notifier.info(sent, "event", {})
        (call,) = recorder.wait(1)
        assert isinstance(call.ctxt, type(sent))
        assert (call.ctxt.user_id, call.ctxt.request_id) == ("u1", sent.request_id)
        assert call.ctxt.auth_token is None


class TestLogHandlers:
    """Log records as notifications."""

    def test_logging_notification_handler(
        self, global_conf: Configure, connect: Connect, kafka: Kafka, listen: Listen, unique: str
    ) -> None:
        """Each level is a priority; the record's fields are the payload."""
        global_conf(section(kafka, "driver = messagingv2", f"topics = {unique}"))
        recorder = Recorder("info", "error", "critical")
        listen(connect(url_of(kafka)), unique, recorder)
        handler = oslo_messaging.LoggingNotificationHandler(url_of(kafka), "log.publisher")
        log = logging.getLogger(unique)
        log.setLevel(logging.DEBUG)
        log.addHandler(handler)
        try:
            log.info("said %s", "this")
            log.error("and that")
            log.critical("and more")
            calls = {call.priority: call for call in recorder.wait(3)}
        finally:
            log.removeHandler(handler)
            handler.notifier.transport.cleanup()
        assert calls["info"].event_type == "logrecord"
        assert calls["info"].publisher_id == "log.publisher"
        assert calls["info"].payload["msg"] == "said this"
        assert calls["error"].payload["levelname"] == "ERROR"
        assert calls["critical"].payload["name"] == unique

    def test_logging_error_notification_handler(
        self, global_conf: Configure, connect: Connect, kafka: Kafka, listen: Listen, unique: str
    ) -> None:
        """Every record becomes an error notification, over the configured URL."""
        global_conf(section(kafka, "driver = messagingv2", f"topics = {unique}"))
        recorder = Recorder("error")
        listen(connect(url_of(kafka)), unique, recorder)
        from oslo_messaging.notify import log_handler

        handler = log_handler.LoggingErrorNotificationHandler()
        log = logging.getLogger(unique)
        log.addHandler(handler)
        try:
            log.error("it broke")
            (call,) = recorder.wait(1)
        finally:
            log.removeHandler(handler)
            handler._transport.cleanup()
        assert call.publisher_id == "error.publisher"
        assert call.event_type == "error_notification"
        assert call.payload == {"error": "it broke"}


def test_request_notifier(
    global_conf: Configure, connect: Connect, kafka: Kafka, listen: Listen, unique: str
) -> None:
    """The middleware notifies of each request and its response, without the request's token."""
    webob = pytest.importorskip("webob")
    from oslo_messaging.notify import middleware

    global_conf(section(kafka, "driver = messagingv2", f"topics = {unique}"))
    recorder = Recorder()
    listen(connect(url_of(kafka)), unique, recorder)

    def application(_environ: Any, start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    app = middleware.RequestNotifier(
        application, url=url_of(kafka), publisher_id="web", service_name="service"
    )
    request = webob.Request.blank("/servers", headers={"X-Auth-Token": "s3cret"})
    assert request.get_response(app).body == b"hello"
    asked, answered = recorder.wait(2)
    app.notifier.transport.cleanup()
    assert [asked.event_type, answered.event_type] == ["http.request", "http.response"]
    assert asked.publisher_id == "web"
    assert asked.payload["request"]["PATH_INFO"] == "/servers"
    assert answered.payload["response"]["status"] == "200 OK"
    assert "s3cret" not in str(recorder.calls)


def test_fork(kafka: Kafka, bare: BareClient, start: Callable[..., Process], unique: str) -> None:
    """Workers that a launcher forks after it has notified: all of them send, listen and end."""
    topic, heard = f"{unique}-sent", f"{unique}-heard"
    launcher = start(WORKERS / "launcher.py", url_of(kafka), topic, heard)
    workers = sorted(launcher.wait_for_lines("worker ", 2))
    bare.send_payloads(f"{heard}.info", range(20))
    launcher.wait_for_lines("got ", 20)
    launcher.tell("end")
    assert launcher.end() == 0, launcher.log
    assert launcher.lines("ended ") == ["0", "0"]
    assert sorted(map(int, launcher.lines("got "))) == list(range(20))
    expected = ["before the fork", "after the fork", "after the workers"]
    expected += [f"{what} in {pid}" for what in ("started", "stopped") for pid in workers]
    assert sorted(bare.payloads(f"{topic}.info")) == sorted(expected)
