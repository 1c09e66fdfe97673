# SPDX-License-Identifier: Apache-2.0
"""Programs written for oslo.messaging run with one line changed: the import."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Kafka
from tests.scenarios.processes import LINE_S, Process
from tests.scenarios.topics import BareClient

pytestmark = pytest.mark.functional

Start = Callable[..., Process]

SERVICE = """
import sys
from oslo_config import cfg
import kafka_notify as oslo_messaging
"""


@pytest.fixture
def config_file(kafka: Kafka, unique: str, tmp_path: Path) -> Path:
    """Write the config file of a service, as a deployment has it, and return its path."""
    path = tmp_path / "service.conf"
    path.write_text(
        f"""
[DEFAULT]
transport_url = rabbit://guest:guest@127.0.0.1:5672/
executor_thread_pool_size = 8
[oslo_messaging_notifications]
driver = messagingv2
transport_url = {kafka.url()}
topics = {unique},{unique}-too
[oslo_messaging_kafka]
kafka_consumer_timeout = 0.2
consumer_group = {unique}
[paste_deploy]
flavor = unknown to us
"""
    )
    return path


def test_a_service_with_the_global_conf(
    config_file: Path, bare: BareClient, start: Start, unique: str
) -> None:
    """The notifier's documented uses: by configuration, by arguments, and prepared ones."""
    program = f"""{SERVICE}
CONF = cfg.CONF
CONF(sys.argv[1:], project="service")

notifier = oslo_messaging.Notifier(oslo_messaging.get_notification_transport(CONF), "compute")
notifier.info({{}}, "instance.create.start", {{"instance_id": 12}})

transport = oslo_messaging.get_notification_transport(CONF)
notifier = oslo_messaging.Notifier(
    transport, "compute.host", driver="messaging", topics=["{unique}-own"])
notifier = notifier.prepare(publisher_id="compute.other")
notifier.warn({{"project_id": "p1"}}, "instance.slow", ["a", "list"])
notifier.prepare(publisher_id="compute.third", retry=2).warning({{}}, "instance.slow", None)
assert notifier.is_enabled()
assert not oslo_messaging.Notifier(transport, driver="noop").is_enabled()
"""
    process = start("-c", program, "--config-file", config_file)
    assert process.end() == 0, process.log
    for topic in (unique, f"{unique}-too"):
        (stored,) = bare.read(f"{topic}.info")
        assert stored.payload == {"instance_id": 12}
        assert stored.fields["publisher_id"] == "compute"
    slow = bare.read(f"{unique}-own.warn")
    assert {one.fields["publisher_id"]: one.payload for one in slow} == {
        "compute.other": ["a", "list"],
        "compute.third": None,
    }
    assert {one.fields["priority"] for one in slow} == {"WARN"}


def test_every_priority_has_its_method(
    config_file: Path, bare: BareClient, start: Start, unique: str
) -> None:
    """Each sends to the topic of its priority; warning is warn, exception is error."""
    program = f"""{SERVICE}
conf = cfg.ConfigOpts()
conf(sys.argv[1:])
notifier = oslo_messaging.Notifier(
    oslo_messaging.get_notification_transport(conf), publisher_id="p", topics=["{unique}"])
for name in ("audit", "debug", "info", "warn", "warning", "error", "exception", "critical",
             "sample"):
    getattr(notifier, name)({{}}, "event", name)
"""
    process = start("-c", program, "--config-file", config_file)
    assert process.end() == 0, process.log
    expected = {
        "audit": ["audit"],
        "debug": ["debug"],
        "info": ["info"],
        "warn": ["warn", "warning"],
        "error": ["error", "exception"],
        "critical": ["critical"],
        "sample": ["sample"],
    }
    for priority, payloads in expected.items():
        stored = bare.read(f"{unique}.{priority}")
        assert [one.payload for one in stored] == payloads
        assert {one.fields["priority"] for one in stored} == {priority.upper()}


def test_a_listener_with_the_global_conf(
    config_file: Path, bare: BareClient, start: Start, unique: str
) -> None:
    """The listener's documented use: two targets, filtered endpoints, a pool, start and wait.

    A handler of SIGTERM stops it, while the main thread is in wait().
    """
    program = rf"""{SERVICE}
import signal
CONF = cfg.CONF
CONF(sys.argv[1:], project="service")

class NotificationEndpoint(object):
    filter_rule = oslo_messaging.NotificationFilter(publisher_id="^publisher")

    def info(self, ctxt, publisher_id, event_type, payload, metadata):
        sys.stdout.write(f"info {{payload}} {{sorted(metadata)}}\n")
        return oslo_messaging.NotificationResult.HANDLED

class ErrorEndpoint(object):
    filter_rule = oslo_messaging.NotificationFilter(
        event_type=r"^instance\..*\.start$", context={{"project_id": "^p"}})

    def error(self, ctxt, publisher_id, event_type, payload, metadata):
        sys.stdout.write(f"error {{payload}} {{ctxt}}\n")

transport = oslo_messaging.get_notification_transport(CONF)
targets = [
    oslo_messaging.Target(topic="{unique}"),
    oslo_messaging.Target(topic="{unique}-too", exchange="nova"),
]
server = oslo_messaging.get_notification_listener(
    transport, targets, [NotificationEndpoint(), ErrorEndpoint()],
    executor="threading", pool="{unique}-workers")
server.start()
signal.signal(signal.SIGTERM, lambda *_: server.stop())
print("listening", flush=True)
server.wait()
print("ended", flush=True)
"""
    process = start("-c", program, "--config-file", config_file)
    process.wait_for_lines("listening")
    bare.send_payloads(f"{unique}.info", [1])
    bare.send_payloads(f"{unique}-too.info", [2])
    start(
        "-c",
        f"""{SERVICE}
conf = cfg.ConfigOpts()
conf(sys.argv[1:])
notifier = oslo_messaging.Notifier(oslo_messaging.get_notification_transport(conf), "p")
notifier.error({{"project_id": "p1", "auth_token": "t"}}, "instance.create.start", 3)
notifier.error({{"project_id": "p1"}}, "instance.create.end", 4)
notifier.error({{}}, "instance.create.start", 5)
""",
        "--config-file",
        config_file,
    )
    infos = process.wait_for_lines("info ", 2)
    errors = process.wait_for_lines("error ", 2)
    process.signal(signal.SIGTERM)
    process.wait_for_lines("ended")
    assert process.end() == 0, process.log
    assert sorted(infos) == [f"{number} ['message_id', 'timestamp']" for number in (1, 2)]
    # Sent to both of the configured topics.
    assert errors == ["3 {'project_id': 'p1'}"] * 2


def test_a_batch_listener_and_a_serializer(config_file: Path, start: Start, unique: str) -> None:
    """Batches as upstream's: lists of dicts; a serializer of the service's own on both sides."""
    program = f"""{SERVICE}
conf = cfg.ConfigOpts()
conf(sys.argv[1:])

class Serializer(oslo_messaging.NoOpSerializer):
    def serialize_entity(self, ctxt, entity):
        return {{"wrapped": entity}}
    def deserialize_entity(self, ctxt, entity):
        return entity["wrapped"]
    def serialize_context(self, ctxt):
        return {{"request_id": ctxt.get("request_id")}}
    def deserialize_context(self, ctxt):
        return ctxt["request_id"]

class Endpoint(object):
    def info(self, messages):
        for message in messages:
            print("one", len(messages), message["ctxt"], message["publisher_id"],
                  message["event_type"], message["payload"], sorted(message["metadata"]),
                  flush=True)

transport = oslo_messaging.get_notification_transport(conf)
server = oslo_messaging.get_batch_notification_listener(
    transport, [oslo_messaging.Target(topic="{unique}")], [Endpoint()],
    serializer=Serializer(), batch_size=3, batch_timeout=30)
server.start()
notifier = oslo_messaging.Notifier(
    transport, "p", serializer=Serializer(), topics=["{unique}"])
for number in range(3):
    notifier.info({{"request_id": f"req-{{number}}"}}, "event", number)
sys.stdin.readline()
server.stop()
server.wait()
transport.cleanup()
"""
    process = start("-c", program, "--config-file", config_file)
    lines = process.wait_for_lines("one ", 3)
    process.tell("stop")
    assert process.end() == 0, process.log
    assert lines == [
        f"3 req-{number} p event {number} ['message_id', 'timestamp']" for number in range(3)
    ]


def test_log_records_as_notifications(
    kafka: Kafka, bare: BareClient, start: Start, unique: str, tmp_path: Path
) -> None:
    """A handler in a logging configuration file: each record is sent at its level's priority."""
    path = tmp_path / "logging.conf"
    path.write_text(
        f"""
[loggers]
keys = root
[handlers]
keys = notifier
[formatters]
keys =
[logger_root]
level = INFO
handlers = notifier
[handler_notifier]
class = kafka_notify.LoggingNotificationHandler
args = ("{kafka.url()}", "log.host", "messagingv2", "{unique}")
"""
    )
    program = """
import logging, logging.config, sys
logging.config.fileConfig(sys.argv[1])
log = logging.getLogger("service")
log.info("disk %s is %d %% full", "a", 97)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("gone wrong")
"""
    process = start("-c", program, path)
    assert process.end() == 0, process.log
    (info,) = bare.read(f"{unique}.info")
    assert info.payload["msg"] == "disk a is 97 % full"
    assert info.payload["name"] == "service"
    assert info.fields["publisher_id"] == "log.host"
    assert info.fields["event_type"] == "logrecord"
    (error,) = bare.read(f"{unique}.error")
    assert "ZeroDivisionError" in error.payload["exc_info"]


def test_errors_in_the_log_as_notifications(
    config_file: Path, bare: BareClient, start: Start, unique: str
) -> None:
    """LoggingErrorNotificationHandler takes everything from the process's conf."""
    program = f"""{SERVICE}
import logging
cfg.CONF(sys.argv[1:])
log = logging.getLogger("service")
log.addHandler(oslo_messaging.PublishErrorsHandler(logging.ERROR))
log.warning("not this")
log.error("this one")
"""
    process = start("-c", program, "--config-file", config_file)
    assert process.end() == 0, process.log
    (stored,) = bare.read(f"{unique}.error")
    assert stored.payload == {"error": "this one"}
    assert stored.fields["publisher_id"] == "error.publisher"
    assert stored.fields["event_type"] == "error_notification"


def test_a_middleware_that_notifies(
    config_file: Path, bare: BareClient, start: Start, unique: str
) -> None:
    """A notification for each request and response, as upstream's RequestNotifier sends them."""
    program = f"""{SERVICE}
from wsgiref.util import setup_testing_defaults
cfg.CONF(sys.argv[1:])

class Notify:
    def __init__(self, application, **local):
        self.application = application
        self.notifier = oslo_messaging.Notifier(
            oslo_messaging.get_notification_transport(cfg.CONF, local.get("url")),
            publisher_id=local["publisher_id"])

    def __call__(self, environ, start_response):
        shown = {{name: text for name, text in environ.items() if name.isupper()}}
        self.notifier.info({{}}, "http.request", {{"request": shown}})
        seen = []
        def respond(status, headers, *rest):
            seen.append(status)
            return start_response(status, headers, *rest)
        body = self.application(environ, respond)
        self.notifier.info({{}}, "http.response", {{"request": shown, "status": seen[0]}})
        return body

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]

environ = {{}}
setup_testing_defaults(environ)
served = Notify(application, publisher_id="api.host")
print("body", served(environ, lambda status, headers: None), flush=True)
"""
    process = start("-c", program, "--config-file", config_file)
    assert process.end() == 0, process.log
    assert process.lines("body ") == ["[b'hello']"]
    request, response = bare.read(f"{unique}.info")
    assert request.fields["event_type"] == "http.request"
    assert request.payload["request"]["REQUEST_METHOD"] == "GET"
    assert response.fields["event_type"] == "http.response"
    assert response.payload["status"] == "200 OK"


def test_what_upstream_raises_can_be_caught_by_its_name(start: Start) -> None:
    """The error classes that a service names exist, and fit."""
    program = f"""{SERVICE}
conf = cfg.ConfigOpts()
conf([])
def caught(name, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except getattr(oslo_messaging, name) as error:
        print(name, isinstance(error, oslo_messaging.MessagingException))
get = oslo_messaging.get_notification_transport
caught("InvalidTransportURL", get, conf, "kafka://host:port/")
caught("DriverLoadFailure", get, conf, "carrier-pigeon://host/")
transport = get(
    conf, "kafka://127.0.0.1:1/?delivery=confirm&confirm_timeout=1&close_timeout=0")
notifier = oslo_messaging.Notifier(transport, "p", retry=0)
caught("MessageDeliveryFailure", notifier.info, {{}}, "event", 1)
class Endpoint:
    def info(self, ctxt, publisher_id, event_type, payload, metadata):
        pass
listener = oslo_messaging.get_notification_listener
caught("InvalidTarget", listener, transport, [oslo_messaging.Target()], [Endpoint()])
"""
    process = start("-c", program)
    assert process.end(LINE_S) == 0, process.log
    names = ["InvalidTransportURL", "DriverLoadFailure", "MessageDeliveryFailure"]
    names += ["InvalidTarget"]
    assert [line.split() for line in process.lines("")] == [[name, "True"] for name in names]
