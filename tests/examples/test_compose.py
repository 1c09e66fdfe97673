# SPDX-License-Identifier: Apache-2.0
"""The compose files: what Kafka makes of their settings. Their schema: test_schemas.py."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import kafka_notify
from kafka_notify import options
from kafka_notify.errors import BrokerRefused, BrokerUnavailable
from tests.examples.compose import FOLDER, Nodes, running
from tests.waiting import eventually

pytestmark = [pytest.mark.functional, pytest.mark.timeout(2400)]
_ANSWER_S = 900.0  # on a machine that is busy with other tests
PASSWORD = "Secret123"


class Endpoint:
    def __init__(self) -> None:
        self.got: list[object] = []

    def info(
        self, _ctxt: object, _publisher: object, _event: object, payload: object, _: object
    ) -> None:
        self.got.append(payload)


def await_kafka(nodes: Nodes, new: Callable[[], kafka_notify.NotificationTransport]) -> None:
    """Return when the cluster answers."""

    def answers() -> bool:
        nodes.assert_running()
        with new() as transport:
            try:
                transport.check_connection()
            except BrokerUnavailable:
                return False
        return True

    eventually(answers, _ANSWER_S, "an answer of Kafka")


def exchange(new: Callable[[], kafka_notify.NotificationTransport], topic: str) -> None:
    """Send and receive one notification."""
    endpoint = Endpoint()
    with new() as transport:
        target = kafka_notify.Target(topic=topic)
        listener = kafka_notify.get_notification_listener(
            transport, [target], [endpoint], pool=topic
        )
        listener.start()
        notifier = kafka_notify.Notifier(transport, publisher_id="me", topics=[topic])
        notifier.info({}, "event", topic)
        eventually(lambda: topic in endpoint.got, _ANSWER_S, "the notification")
        listener.stop()
        listener.wait()


PATIENT = "delivery=confirm&start_timeout=300&confirm_timeout=300&connect_timeout="


def reached(nodes: Nodes) -> Callable[[], kafka_notify.NotificationTransport]:
    """Return what makes a transport to a cluster that lets everybody in, once it answers."""
    url = f"kafka://{','.join(nodes.bootstrap.values())}/?{PATIENT}30"

    def new() -> kafka_notify.NotificationTransport:
        return kafka_notify.get_notification_transport(url=url)

    await_kafka(nodes, new)
    return new


def test_one_node(tmp_path: Path, unique: str) -> None:
    """A notification goes there and back."""
    with running("one-node.yaml", tmp_path) as nodes:
        exchange(reached(nodes), unique)


def test_three_nodes(tmp_path: Path, unique: str) -> None:
    """Three replicas of everything, and nothing is out of reach when a node is lost."""
    with running("three-nodes.yaml", tmp_path) as nodes:
        new = reached(nodes)
        exchange(new, unique)
        nodes.kill("kafka3")
        exchange(new, unique)
        exchange(new, f"{unique}new")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_secured(tmp_path: Path, unique: str) -> None:
    """TLS with the certificates of the script, a login, and the sample for such a cluster."""
    made = tmp_path / "certificates"
    subprocess.run([FOLDER / "make-certificates", made, "kafka.example"], check=True)
    with running("secured.yaml", tmp_path, KAFKA_PASSWORD=PASSWORD) as nodes:
        address = nodes.bootstrap["kafka"]

        def new(
            password: str = PASSWORD, connect_timeout: float = 30, **wrong: str
        ) -> kafka_notify.NotificationTransport:
            sample = (FOLDER.parents[1] / "etc/secured.conf.sample").read_text()
            values = {
                "transport_url": f"kafka://nova:{password}@{address}/?{PATIENT}{connect_timeout}",
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "PLAIN",
                "ssl_cafile": str(made / "ca.pem"),
                **wrong,
            }
            for name, value in values.items():
                sample, count = re.subn(
                    rf"^#{name} = .*$", f"{name} = {value}", sample, flags=re.MULTILINE
                )
                assert count == 1, name
            path = tmp_path / "secured.conf"
            path.write_text(sample)
            return kafka_notify.get_notification_transport(options.make_conf([str(path)]))

        await_kafka(nodes, new)
        exchange(new, unique)
        # Who is refused tries again until its time is out.
        with (
            new("wrong", connect_timeout=5) as transport,
            pytest.raises(BrokerRefused, match="Invalid username or password"),
        ):
            transport.check_connection()
        # Without the authority's certificate nobody is believed to be Kafka.
        with (
            new(connect_timeout=5, ssl_cafile="") as transport,
            pytest.raises(BrokerRefused, match="certificate verify failed"),
        ):
            transport.check_connection()
