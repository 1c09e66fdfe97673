# SPDX-License-Identifier: Apache-2.0
"""gunicorn with several workers, publishers without clients, and our relay with OPAL's client."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from tests.opal.websockets import Subscriber
from tests.waiting import eventually

pytestmark = [pytest.mark.functional, pytest.mark.opal]

ARRIVES_S = 120.0


def numbers(got: list[Any]) -> list[int]:
    return [one["entries"][0]["data"]["n"] for one in got]


def test_gunicorn_with_several_workers(example: Any, fleet: Any) -> None:
    """Clients of different workers all get what is posted to whichever; so do those elsewhere.

    The publisher, a server without a client, publishes all the same.
    """
    many = fleet.server("many", workers=3)
    alone = fleet.server("alone")
    for server in (many, alone):
        server.await_up()
    with ExitStack() as stack:
        subscribers = [stack.enter_context(Subscriber(many.ws, "policy_data")) for _ in range(9)]

        def all_there() -> bool:
            # A worker that is still starting to read may have clients already.
            alone.post("/warm", {"n": -1})
            return all(one.got for one in subscribers)

        eventually(all_there, ARRIVES_S, "all workers")
        for number in range(10):
            assert (many, alone)[number % 2].post("/x", {"n": number})[0] == 200
        for one in subscribers:
            eventually(
                lambda one=one: {n for n in numbers(one.got) if n >= 0} == set(range(10)),
                ARRIVES_S,
                "all ten",
            )
            assert len([n for n in numbers(one.got) if n >= 0]) == 10
    assert many.process.stop() in (0, -15)


def test_a_relay_with_opals_client(example: Any, fleet: Any, relay: Any) -> None:
    """OPAL's client takes our relay for a server: it stores what is posted to another one."""
    first, second = relay(), relay()
    client = fleet.client(first.url)
    first.await_subscriber("policy_data")
    assert second.post("/users/bob/location", {"city": "Berlin"}) == (200, {"status": "ok"})
    example.wait_for(
        "the update in OPA",
        lambda: fleet.opa.data.get("/users/bob/location") == {"city": "Berlin"},
        ARRIVES_S,
    )
    assert client.process.poll() is None
    eventually(
        lambda: "Received update report" in first.process.text, ARRIVES_S, "the client's report"
    )


def test_a_relay_beside_opals_servers(example: Any, fleet: Any, relay: Any) -> None:
    """A relay and an OPAL server share the topic, both ways."""
    server, ours = fleet.server("opal"), relay()
    server.await_up()
    with Subscriber(server.ws, "policy_data") as there, Subscriber(ours.ws, "policy_data") as here:
        assert server.post("/x", {"n": 1})[0] == 200
        assert numbers(here.wait_for(1, ARRIVES_S)) == [1]
        assert ours.post("/x", {"n": 2})[0] == 200
        assert numbers(there.wait_for(2, ARRIVES_S)) == [1, 2]
