# SPDX-License-Identifier: Apache-2.0
"""The notifier: what it sends, by which drivers, and what it refuses."""

import json
import logging
import uuid

import pytest

import kafka_notify
from kafka_notify.core.events import ContextOmitted
from kafka_notify.errors import (
    ConfigurationError,
    DriverNotFound,
    InvalidName,
    InvalidTarget,
    SerializationError,
)
from kafka_notify.notify_drivers import test as test_driver


def inner(record) -> dict:
    return json.loads(json.loads(record.value)["oslo.message"])


@pytest.mark.parametrize(
    ("method", "priority"),
    [
        ("audit", "audit"),
        ("debug", "debug"),
        ("info", "info"),
        ("warn", "warn"),
        ("warning", "warn"),
        ("error", "error"),
        ("exception", "error"),
        ("critical", "critical"),
        ("sample", "sample"),
    ],
)
def test_each_method_sends_to_its_prioritys_topic(transport, cluster, method, priority):
    """``warn`` and ``warning`` are one priority, ``exception`` is an error."""
    notifier = kafka_notify.Notifier(transport, "compute.h1")
    getattr(notifier, method)({}, "a.b", {"x": 1})
    assert transport.flush() == 0
    [record] = cluster.records(f"notifications.{priority}")
    sent = inner(record)
    assert sent["priority"] == priority.upper()
    assert (sent["publisher_id"], sent["event_type"], sent["payload"]) == (
        "compute.h1", "a.b", {"x": 1}
    )  # fmt: skip
    assert uuid.UUID(sent["message_id"])
    assert record.key == b"compute.h1"


def test_the_vhost_ends_the_topics_name(connect, cluster):
    """A URL with a vhost has topics of its own."""
    transport = connect(vhost="v1")
    kafka_notify.Notifier(transport, "p", topics=["a", "b"]).info({}, "e", {})
    assert transport.flush() == 0
    assert sorted(cluster.topics()) == ["a.info.v1", "b.info.v1"]


def test_prepare_changes_what_it_is_given_and_shares_the_rest(transport, cluster):
    """A prepared notifier has its own publisher_id and the same drivers."""
    notifier = kafka_notify.Notifier(transport, "one", retry=3)
    other = notifier.prepare(publisher_id="two")
    other.info({}, "e", {})
    assert transport.flush() == 0
    assert inner(cluster.records("notifications.info")[0])["publisher_id"] == "two"
    assert (other.retry, notifier.publisher_id) == (3, "one")
    assert notifier.prepare(retry=0).retry == 0


def test_a_dict_context_loses_its_token(connect, cluster):
    """Of a dict go the fields that oslo.context takes for safe, and those an option names."""
    transport = connect("context_fields=tenant_color")
    notifier = kafka_notify.Notifier(transport, "p")
    ctxt = {"user_id": "u", "auth_token": "s3cret", "tenant_color": "red", "other": 1}
    notifier.info(ctxt, "e", {})
    assert transport.flush() == 0
    assert inner(cluster.records("notifications.info")[0])["_context"] == {
        "user_id": "u",
        "tenant_color": "red",
    }


def test_an_object_context_is_sent_redacted(transport, cluster):
    """``redacted_copy()`` decides, ``to_dict()`` of what it returns travels."""

    class Context:
        def __init__(self, **fields):
            self.fields = fields

        def redacted_copy(self):
            return Context(**{k: v for k, v in self.fields.items() if k != "auth_token"})

        def to_dict(self):
            return self.fields

    kafka_notify.Notifier(transport, "p").info(Context(user="u", auth_token="x"), "e", {})
    assert transport.flush() == 0
    assert inner(cluster.records("notifications.info")[0])["_context"] == {"user": "u"}


def test_a_context_that_cannot_be_redacted_stays_here(transport, cluster):
    """The notification goes without it, and the monitor hears why."""
    kafka_notify.Notifier(transport, "p").info(object(), "e", {})
    assert transport.flush() == 0
    assert inner(cluster.records("notifications.info")[0])["_context"] == {}
    assert any(isinstance(event, ContextOmitted) for event in transport.events)


def test_a_payload_that_json_cannot_hold_is_refused(transport, cluster):
    """The error names the place; nothing is sent."""
    with pytest.raises(SerializationError, match=r"payload/a/1 \(object\)"):
        kafka_notify.Notifier(transport, "p").info({}, "e", {"a": [0, object()]})
    assert cluster.topics() == {}


def test_a_serializer_turns_objects_into_json(transport, cluster):
    """JsonPayloadSerializer sends objects as their attributes."""

    class Flavor:
        def __init__(self):
            self.vcpus = 2

    notifier = kafka_notify.Notifier(
        transport, "p", serializer=kafka_notify.JsonPayloadSerializer()
    )
    notifier.info({}, "e", {"flavor": Flavor()})
    assert transport.flush() == 0
    assert inner(cluster.records("notifications.info")[0])["payload"] == {"flavor": {"vcpus": 2}}


def test_an_unknown_driver_lists_those_installed(transport):
    """The error tells what could have been meant."""
    with pytest.raises(DriverNotFound, match="log, messaging, messagingv2, noop, routing, test"):
        kafka_notify.Notifier(transport, driver="messagingv3")


@pytest.mark.parametrize("topics", [[], "notifications"])
def test_topics_are_a_list(transport, topics):
    """A text would be taken for a list of letters."""
    with pytest.raises(ConfigurationError, match="list of topics"):
        kafka_notify.Notifier(transport, topics=topics)


def test_a_topic_that_kafka_refuses_is_refused_before_anything_is_sent(transport, cluster):
    """The offending part is named; the legal topic beside it gets nothing either."""
    notifier = kafka_notify.Notifier(transport, topics=["good", "sp ace"])
    with pytest.raises(InvalidName, match="'sp ace"):
        notifier.info({}, "e", {})
    assert cluster.topics() == {}


def test_an_empty_topic_is_no_target(transport):
    """The error shows what a target looks like."""
    with pytest.raises(InvalidTarget, match="Target"):
        kafka_notify.Notifier(transport, topics=[""]).info({}, "e", {})


def test_a_vhost_that_kafka_refuses_is_refused_at_once(connect):
    """Making the transport fails, not the first notification."""
    with pytest.raises(InvalidName, match="virtual host 'a b'"):
        connect(vhost="a%20b")


def test_noop_is_disabled(transport, cluster):
    """``is_enabled`` is false for it alone."""
    notifier = kafka_notify.Notifier(transport, driver="noop")
    notifier.info({}, "e", {})
    assert not notifier.is_enabled()
    assert kafka_notify.Notifier(transport).is_enabled()
    assert cluster.topics() == {}


def test_the_test_driver_keeps_what_it_gets(transport):
    """(context, message, priority, retry), as upstream's."""
    test_driver.reset()
    kafka_notify.Notifier(transport, "p", driver="test", retry=2).warn({"user_id": "u"}, "e", 1)
    [(ctxt, message, priority, retry)] = test_driver.NOTIFICATIONS
    assert (ctxt, message["payload"], priority, retry) == ({"user_id": "u"}, 1, "WARN", 2)
    test_driver.reset()
    assert test_driver.NOTIFICATIONS == []


def test_the_log_driver_masks_secrets(transport, caplog):
    """One JSON line at the priority's level, on the logger that upstream uses."""
    notifier = kafka_notify.Notifier(transport, "p", driver="log")
    with caplog.at_level(logging.INFO, "oslo.messaging.notification"):
        notifier.error({}, "a.b", {"adminPassword": "s3cret", "list": [{"auth_token": "s3cret"}]})
    [line] = caplog.records
    assert (line.name, line.levelname) == ("oslo.messaging.notification.a.b", "ERROR")
    assert "s3cret" not in line.getMessage()
    assert json.loads(line.getMessage())["payload"]["adminPassword"] == "***"


def test_every_driver_is_called_whatever_one_raises(cluster, unique, tmp_path):
    """The test driver gets a payload that Kafka cannot have, and the error is raised."""
    from oslo_config import cfg

    conf = cfg.ConfigOpts()
    config = tmp_path / "c.conf"
    config.write_text(
        "[oslo_messaging_notifications]\ndriver = messagingv2\ndriver = test\n"
        f"transport_url = memory://{unique}\n"
    )
    conf(["--config-file", str(config)])
    test_driver.reset()
    with kafka_notify.get_notification_transport(conf) as transport:
        with pytest.raises(SerializationError):
            kafka_notify.Notifier(transport, "p").info({}, "e", object())
        assert len(test_driver.NOTIFICATIONS) == 1
    test_driver.reset()


def test_an_empty_driver_list_warns_and_sends_nothing(cluster, unique, tmp_path, caplog):
    """``driver =`` in the file: once a warning that says what to do."""
    from oslo_config import cfg

    conf = cfg.ConfigOpts()
    config = tmp_path / "c.conf"
    config.write_text(
        f"[oslo_messaging_notifications]\ndriver =\ntransport_url = memory://{unique}\n"
    )
    conf(["--config-file", str(config)])
    with kafka_notify.get_notification_transport(conf) as transport:
        notifier = kafka_notify.Notifier(transport, "p")
        notifier.info({}, "e", {})
        notifier.info({}, "e", {})
    assert caplog.text.count("driver is empty") == 1
    assert cluster.topics() == {}


@pytest.mark.parametrize("retry", [-2, "1"])
def test_retry_is_checked_when_it_is_given(transport, retry):
    """Not at the first failed send."""
    with pytest.raises(ConfigurationError, match="retry"):
        kafka_notify.Notifier(transport, retry=retry)


class TestRouting:
    """The routing driver chooses by event type and priority."""

    @pytest.fixture
    def notifier(self, unique, tmp_path):
        from oslo_config import cfg

        def make(rules: str):
            (tmp_path / "routes.yaml").write_text(rules)
            config = tmp_path / "c.conf"
            config.write_text(
                "[oslo_messaging_notifications]\ndriver = routing\n"
                f"routing_config = {tmp_path}/routes.yaml\ntransport_url = memory://{unique}\n"
            )
            conf = cfg.ConfigOpts()
            conf(["--config-file", str(config)])
            return kafka_notify.Notifier(kafka_notify.get_notification_transport(conf), "p")

        test_driver.reset()
        yield make
        test_driver.reset()

    def test_a_driver_is_called_once_if_any_group_accepts(self, notifier):
        """Patterns of one rule are alternatives, rules of one driver must all hold."""
        one = notifier(
            "g1:\n  test:\n    accepted_events: [compute.*, volume.*]\n"
            "    accepted_priorities: [ERROR]\n"
            "g2:\n  test:\n    accepted_events: ['*.end']\n"
        )
        one.error({}, "compute.create.end", "both groups")
        one.error({}, "volume.create", "first group")
        one.info({}, "image.end", "second group")
        one.info({}, "compute.create", "none")
        assert [message["payload"] for _, message, _, _ in test_driver.NOTIFICATIONS] == [
            "both groups", "first group", "second group"
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("rules", "named"),
        [
            ("[1, 2]", "map group names"),
            ("g: 3", "group 'g'"),
            ("g: {test: {accepted_event: [a]}}", "g.test.accepted_event"),
            ("g: {test: {accepted_events: a}}", "g.test.accepted_events"),
            ("g: {routing: {}}", "to itself"),
            ("g: {nosuch: {}}", "nosuch"),
            ("{", "routes.yaml"),
        ],
    )
    def test_a_wrong_file_is_refused_when_the_notifier_is_made(self, notifier, rules, named):
        """The error names the file's path and the place in it."""
        with pytest.raises(ConfigurationError, match=named):
            notifier(rules)
