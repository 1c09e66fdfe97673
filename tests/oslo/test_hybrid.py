# SPDX-License-Identifier: Apache-2.0
"""The hybrid deployment: a service keeps RabbitMQ for RPC and has Kafka for notifications."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Kafka
from tests.oslo.conftest import url_of
from tests.oslo.rabbit import Rabbit
from tests.scenarios.processes import Process
from tests.scenarios.recorder import Recorder
from tests.scenarios.topics import BareClient

oslo_messaging = pytest.importorskip("oslo_messaging")
pytestmark = pytest.mark.functional

WORKERS = Path(__file__).parent / "workers"
Start = Callable[..., Process]
CALLS = 500
# As upstream's own driver for Kafka, which knows no RPC either.
REFUSAL = NotImplementedError
WAY_OUT = r"hybrid deployment.*rabbit://.*kafka-notify://"


def test_rpc_and_notifications_are_busy_at_once(
    kafka: Kafka,
    rabbit: Rabbit,
    bare: BareClient,
    connect: Callable[..., Any],
    listen: Callable[..., Any],
    start: Start,
    tmp_path: Path,
    unique: str,
) -> None:
    """Each call is answered and each notification received, both ways, none twice."""
    file = tmp_path / "hybrid.conf"
    file.write_text(
        f"[DEFAULT]\ntransport_url = {rabbit.url}\n"
        f"[oslo_messaging_notifications]\ntransport_url = {url_of(kafka)}\n"
    )
    recorder = Recorder()
    listen(connect(url_of(kafka)), f"{unique}-served", recorder)
    rpc_topic, served, begun = f"{unique}-rpc", f"{unique}-served", f"{unique}-begun"
    service = start(WORKERS / "hybrid_service.py", file, rpc_topic, served, begun)
    service.wait_for_lines("ready")
    client = start(WORKERS / "hybrid_client.py", file, rpc_topic, begun, CALLS, 8)
    assert client.end() == 0, client.log
    recorder.wait(CALLS)
    service.wait_for_lines("heard ", CALLS)
    service.tell("end")
    assert service.end() == 0, service.log
    every = list(range(CALLS))
    assert sorted(map(int, client.lines("answered "))) == every
    assert sorted(map(int, service.lines("served "))) == every
    assert sorted(map(int, service.lines("heard "))) == every
    assert sorted(recorder.payloads) == every
    # What is in Kafka is the notifications, not a word of the calls.
    assert sorted(bare.payloads(f"{served}.info")) == every
    assert sorted(bare.payloads(f"{begun}.info")) == every
    assert not bare.partitions(rpc_topic)


@pytest.mark.parametrize("section", ["DEFAULT", "oslo_messaging_notifications"])
def test_the_configured_url(
    section: str,
    kafka: Kafka,
    configure: Callable[[str], Any],
    connect: Callable[..., Any],
    listen: Callable[..., Any],
    unique: str,
) -> None:
    """The URL of notifications counts; without one that of [DEFAULT] does, as oslo has it."""
    conf = configure(
        f"[{section}]\ntransport_url = {url_of(kafka)}\n"
        f"[oslo_messaging_notifications]\ndriver = messagingv2\ntopics = {unique}\n"
    )
    recorder = Recorder()
    listen(connect(conf=conf), unique, recorder)
    oslo_messaging.Notifier(connect(conf=conf), "publisher").info({}, "event", 1)
    recorder.wait(1)
    assert recorder.payloads == [1]


class TestRpcIsRefused:
    """RPC over our URL: the error says where RPC belongs."""

    @pytest.fixture
    def transport(self, kafka: Kafka, global_conf: Callable[[], Any]) -> Any:
        return oslo_messaging.get_rpc_transport(global_conf(), url_of(kafka))

    @pytest.mark.parametrize("method", ["call", "cast"])
    def test_client(self, method: str, transport: Any, unique: str) -> None:
        """A call and a cast raise."""
        client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic=unique))
        with pytest.raises(REFUSAL, match=WAY_OUT):
            getattr(client, method)({}, "method")

    def test_server(self, transport: Any, unique: str) -> None:
        """start() of a server raises."""
        target = oslo_messaging.Target(topic=unique, server="one")
        server = oslo_messaging.get_rpc_server(transport, target, [object()])
        with pytest.raises(REFUSAL, match=WAY_OUT):
            server.start()
