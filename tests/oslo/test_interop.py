# SPDX-License-Identifier: Apache-2.0
"""Upstream's ``kafka://`` and ours on the same topics, in the same pools, in the same process.

Both through oslo.messaging's API. The bare library beside upstream's driver: tests/interop.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Kafka
from tests.interop.upstream import WORKERS, payloads, warm_up
from tests.oslo.conftest import SCHEME, UPSTREAM, url_of
from tests.scenarios.processes import Process
from tests.scenarios.recorder import Recorder
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

oslo_messaging = pytest.importorskip("oslo_messaging")
pytestmark = pytest.mark.functional

Start = Callable[..., Process]
Connect = Callable[..., Any]
Listen = Callable[..., Any]

PAYLOAD = {"text": "Ωmega", "list": [1, None, 2.5], "map": {"a": True}}


@pytest.mark.parametrize("vhost", ["", "cell1"])
def test_upstream_sends_and_we_listen(
    vhost: str, connect: Connect, kafka: Kafka, listen: Listen, start: Start, unique: str
) -> None:
    """All fields arrive as they were sent, by both messaging drivers, with a vhost and without."""
    recorder = Recorder("info", "error", "warn")
    listen(connect(url_of(kafka, vhost=vhost)), unique, recorder)
    sender = start(WORKERS / "upstream_send.py", url_of(kafka, UPSTREAM, vhost), unique)
    assert sender.end() == 0, sender.log
    calls = recorder.wait(6)
    for call in calls:
        assert call.publisher_id == "upstream.host"
        assert call.event_type == f"upstream.{call.priority}"
        assert call.ctxt == {"project_id": "p1"}
        assert call.payload.pop("driver") in {"messaging", "messagingv2"}
        assert call.payload == PAYLOAD
    assert sorted(call.priority for call in calls) == ["error"] * 2 + ["info"] * 2 + ["warn"] * 2
    assert len(set(recorder.ids)) == 6


def test_vhosts_are_apart(
    connect: Connect, kafka: Kafka, bare: BareClient, listen: Listen, start: Start, unique: str
) -> None:
    """A listener hears upstream's senders of its own vhost alone."""
    priorities = ("info", "error", "warn")
    recorders = {vhost: Recorder(*priorities) for vhost in ("", "cell1", "cell2")}
    transports, servers = {}, []
    for vhost, recorder in recorders.items():
        # One partition each, so that what is last there comes last.
        transports[vhost] = connect(url_of(kafka, vhost=vhost, topic_partitions=1))
        servers.append(listen(transports[vhost], unique, recorder, pool=f"{unique}{vhost}"))
    for vhost in ("cell1", ""):
        sender = start(WORKERS / "upstream_send.py", url_of(kafka, UPSTREAM, vhost), unique)
        assert sender.end() == 0, sender.log
    for vhost, transport in transports.items():
        notifier = oslo_messaging.Notifier(transport, driver="messagingv2", topics=[unique])
        for priority in priorities:
            getattr(notifier, priority)({}, "last", f"last {priority}")
        recorders[vhost].wait_for([f"last {priority}" for priority in priorities])
    for server in servers:  # what it took before the last ones may still be in its endpoint
        server.stop()
        server.wait()
    for vhost, recorder in recorders.items():
        tail = f".{vhost}" if vhost else ""
        stored = [one for what in priorities for one in bare.read(f"{unique}.{what}{tail}")]
        assert sorted(recorder.ids) == sorted(one.fields["message_id"] for one in stored)
    assert [len(recorder.calls) for recorder in recorders.values()] == [6 + 3, 6 + 3, 0 + 3]


@pytest.mark.parametrize("driver", ["messaging", "messagingv2"])
def test_we_send_and_upstream_listens(
    driver: str, connect: Connect, kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """All fields arrive, by both messaging drivers; upstream's listener needs its topic there."""
    bare.create(f"{unique}.info")
    upstream = start(WORKERS / "upstream_listen.py", url_of(kafka, UPSTREAM), unique, unique)
    notifier = oslo_messaging.Notifier(
        connect(url_of(kafka)), "our.host", driver=driver, topics=[unique]
    )
    warm_up(upstream, lambda text: notifier.info({}, "ours.info", text))
    for number in range(10):
        notifier.info({}, "ours.info", {**PAYLOAD, "number": number})
    eventually(lambda: len(payloads(upstream)) >= 10, 60, "all ten")
    for priority, context, publisher, event, _, metadata in heard_by(upstream):
        assert (priority, context, publisher, event) == ("info", {}, "our.host", "ours.info")
        assert len(metadata["message_id"]) == 36
    numbered = sorted(payloads(upstream), key=lambda payload: payload["number"])
    assert numbered == [{**PAYLOAD, "number": number} for number in range(10)]
    upstream.tell("end")
    assert upstream.end() == 0, upstream.log


def heard_by(upstream: Process) -> list[list[Any]]:
    """Return the arguments of each call of the endpoint of upstream's listener."""
    return [json.loads(line) for line in upstream.lines("got ")]


@pytest.mark.parametrize("protocol", ["auto", "classic"])
def test_one_pool_with_members_of_both(
    protocol: str,
    connect: Connect,
    kafka: Kafka,
    bare: BareClient,
    listen: Listen,
    start: Start,
    unique: str,
) -> None:
    """They share the partitions: once both have joined, each notification comes to one of them."""
    recorder = Recorder()
    transport = connect(url_of(kafka, group_protocol=protocol))
    listen(transport, unique, recorder)
    upstream = start(WORKERS / "upstream_listen.py", url_of(kafka, UPSTREAM), unique, unique)

    def settled() -> bool:
        shares = bare.shares(unique)
        return len(shares) == 2 and all(shares)

    eventually(settled, 60, "two members, each with partitions")
    notifier = oslo_messaging.Notifier(transport, driver="messagingv2", topics=[unique])
    publishers = [notifier.prepare(publisher_id=f"publisher-{one}") for one in range(32)]

    def send_warm(text: str) -> None:
        for publisher in publishers:
            publisher.info({}, "shared", text)

    warm_up(upstream, send_warm)
    for number in range(2000):
        publishers[number % 32].info({}, "shared", number)

    def ours() -> list[Any]:
        return [payload for payload in recorder.payloads if payload != "warm-up"]

    eventually(lambda: len(payloads(upstream)) + len(ours()) >= 2000, 60, "all 2,000")
    assert sorted(payloads(upstream) + ours()) == list(range(2000))
    assert payloads(upstream)
    assert ours()


def test_each_pool_gets_all(
    connect: Connect, kafka: Kafka, listen: Listen, start: Start, unique: str
) -> None:
    """A pool of upstream's listeners and one of ours each get what either driver's sender sent."""
    recorder = Recorder()
    listen(connect(url_of(kafka)), unique, recorder)  # makes the topic
    upstream = start(
        WORKERS / "upstream_listen.py", url_of(kafka, UPSTREAM), unique, f"{unique}-theirs"
    )
    senders = [
        oslo_messaging.Notifier(
            connect(url_of(kafka, scheme)), "sender", driver="messagingv2", topics=[unique]
        )
        for scheme in (SCHEME, UPSTREAM)
    ]
    warm_up(upstream, lambda text: senders[0].info({}, "event", text))
    for number in range(100):
        senders[number % 2].info({}, "event", number)
    eventually(lambda: len(payloads(upstream)) >= 100, 60, "all at upstream's listener")
    recorder.wait_for(range(100))
    assert sorted(payloads(upstream)) == list(range(100))
    assert sorted(one for one in recorder.payloads if one != "warm-up") == list(range(100))


LOAD = """
import sys
import oslo_messaging
from oslo_config import cfg
topic, *urls = sys.argv[1:]
conf = cfg.ConfigOpts()
conf([])
made = []
for url in urls:
    if url.startswith("rabbit:"):
        made.append(oslo_messaging.get_rpc_transport(conf, url))
        continue
    transport = oslo_messaging.get_notification_transport(conf, url)
    notifier = oslo_messaging.Notifier(transport, driver="messagingv2", topics=[topic])
    notifier.info({}, "loaded", url.partition(":")[0])
    made.append(transport)
for transport in made:
    transport.cleanup()
"""


@pytest.mark.parametrize(
    "order", list(itertools.permutations([SCHEME, UPSTREAM, "rabbit"])), ids=" ".join
)
def test_one_process_loads_both(
    order: tuple[str, ...],
    connect: Connect,
    kafka: Kafka,
    listen: Listen,
    start: Start,
    unique: str,
) -> None:
    """On one conf, in any order, a transport for RPC among them; both send."""
    recorder = Recorder()
    listen(connect(url_of(kafka)), unique, recorder)
    urls = {SCHEME: url_of(kafka), UPSTREAM: url_of(kafka, UPSTREAM), "rabbit": "rabbit://"}
    process = start("-c", LOAD, unique, *(urls[scheme] for scheme in order))
    assert process.end() == 0, process.log
    recorder.wait(2)
    assert sorted(recorder.payloads) == [UPSTREAM, SCHEME]
