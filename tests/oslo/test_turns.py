# SPDX-License-Identifier: Apache-2.0
"""Who runs what waited for a notification: the thread that settled it, for a while."""

from __future__ import annotations

import itertools
import threading
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.waiting import eventually

pytest.importorskip("oslo_messaging")
pytestmark = pytest.mark.functional  # for the environments that have oslo.messaging

import oslo_messaging  # noqa: E402
from oslo_config import cfg  # noqa: E402

from kafka_notify.oslo import turns  # noqa: E402

LONG_S = 10.0


class Executor:
    """A server's callback, and what its threads do, by hand: each number releases the next."""

    def __init__(
        self,
        endpoint: Callable[[int], object] = lambda _number: None,
        turn_s: float = LONG_S,
    ) -> None:
        self.ran: list[int] = []
        self.submitted: list[int] = []
        self._endpoint = endpoint
        self.next = turns.Turns(run=self.run, submit=self.submitted.extend, turn_s=turn_s)

    def run(self, given: list[int]) -> None:
        """Call the endpoint, and settle; 5 is the last."""
        [number] = given
        self.ran.append(number)
        self._endpoint(number)
        if number < 5:
            self.next([number + 1])


def test_one_thread_runs_them_one_after_the_other() -> None:
    """Not one inside of the other: a key may have any number of them."""
    depths: list[int] = []
    executor = Executor(lambda _number: depths.append(len(traceback.extract_stack())))
    executor.run([0])
    assert executor.ran == [0, 1, 2, 3, 4, 5]
    assert not executor.submitted
    assert len(set(depths[1:])) == 1


def test_a_slow_endpoint_ends_the_turn() -> None:
    """The executor has the rest; the next thread begins a turn of its own."""
    executor = Executor(lambda number: number == 2 and threading.Event().wait(0.6), 0.5)
    executor.run([0])
    assert executor.ran == [0, 1, 2]
    assert executor.submitted == [3]
    executor.run([3])
    assert executor.ran == [0, 1, 2, 3, 4, 5]


def test_a_thread_runs_one_at_a_time() -> None:
    """What it releases besides runs elsewhere."""
    executor = Executor(lambda number: number == 3 and executor.next([7]))
    executor.run([2])
    assert executor.ran == [2, 3, 7]
    assert executor.submitted == [4]


def test_an_endpoint_that_ends_its_thread_ends_the_turn_only() -> None:
    """The thread may be the caller's, and settle again."""

    def leave(number: int) -> None:
        if number == 2:
            raise SystemExit

    executor = Executor(leave)
    with pytest.raises(SystemExit):
        executor.run([0])
    executor.run([3])
    assert executor.ran == [0, 1, 2, 3, 4, 5]


def test_only_oslo_messagings_own_server_has_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody else may settle before all is done; green threads have their own turns."""
    taken: list[Any] = []
    assert turns.turns_of(taken.append) == taken.append
    transport = oslo_messaging.get_notification_transport(cfg.ConfigOpts(), url="fake://")
    target = oslo_messaging.Target(topic="t")
    server = oslo_messaging.get_notification_listener(
        transport, [target], [SimpleNamespace(info=print)], executor="threading"
    )
    assert isinstance(turns.turns_of(server._on_incoming), turns.Turns)
    monkeypatch.setattr(turns.native, "PATCHED", True)
    assert turns.turns_of(server._on_incoming) == server._on_incoming


@pytest.mark.parametrize("query", ["", "workers=1", "commit_policy=after_dispatch"])
def test_a_backlog_is_done_in_order_and_mostly_in_turns(unique: str, query: str) -> None:
    """Over a real server: each once, in its key's order, and seldom in another thread."""
    conf = cfg.ConfigOpts()
    conf([])
    url = f"kafka-notify+memory://{unique}/?group_start=beginning&{query}"
    transport = oslo_messaging.get_notification_transport(conf, url=url)
    first = oslo_messaging.Notifier(transport, driver="messagingv2", topics=["t"])
    count, keys = 2000, 4
    for number in range(count):
        first.prepare(publisher_id=f"p{number % keys}").info({}, "e", {"number": number})
    seen: dict[str, list[int]] = {}
    threads: list[int] = []

    class Endpoint:
        def info(self, _c: Any, publisher: str, _e: Any, payload: Any, _m: Any) -> None:
            seen.setdefault(publisher, []).append(payload["number"])
            threads.append(threading.get_ident())

    target = oslo_messaging.Target(topic="t")
    server = oslo_messaging.get_notification_listener(
        transport, [target], [Endpoint()], executor="threading", pool="p"
    )
    server.start()
    eventually(lambda: len(threads) >= count, LONG_S, "all notifications")
    server.stop()
    server.wait()
    transport.cleanup()
    assert len(threads) == count
    assert all(numbers == sorted(numbers) for numbers in seen.values())
    changes = sum(one != two for one, two in itertools.pairwise(threads))
    assert changes < count / 2
