# SPDX-License-Identifier: Apache-2.0
"""Commits that a coordinator answers late, or not at all.

The client is made up, since a real coordinator does not hang at will; frozen brokers are in
``tests/faults``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from kafka_notify.drivers.confluent_commit import Committer, CommitTimedOut
from tests.waiting import eventually

BOUND_S = 10.0
NAME = "kafka-notify-commit"
OFFSETS = [TopicPartition("t", 0, 5)]


class Coordinator:
    """A client whose commits return when they may, with what is said."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.error: Exception | None = None
        self.stored: list[Any] = list(OFFSETS)
        self.commits = 0
        self.inside = 0

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[Any]:
        assert offsets
        assert not asynchronous
        assert not self.inside, "two threads at a time"
        self.inside += 1
        assert self.may_answer.wait(BOUND_S)
        self.inside -= 1
        self.commits += 1
        if self.error is not None:
            raise self.error
        return self.stored


@pytest.fixture
def coordinator() -> Coordinator:
    return Coordinator()


@pytest.fixture
def make_committer(
    coordinator: Coordinator, new_threads: Callable[[], int]
) -> Iterator[Callable[[float], Committer]]:
    made = []

    def make(timeout_s: float = BOUND_S) -> Committer:
        made.append(Committer(coordinator, timeout_s=timeout_s))  # type: ignore[arg-type]
        return made[-1]

    yield make
    coordinator.may_answer.set()
    for one in made:
        one.stop()
    eventually(lambda: not new_threads(), BOUND_S, "all threads have ended")


@pytest.fixture(autouse=True)
def new_threads() -> Callable[[], int]:
    before = set(threading.enumerate())
    return lambda: len(
        [one for one in threading.enumerate() if one not in before and one.name == NAME]
    )


@pytest.fixture(params=["lent", "its own"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], None]]:
    """Return what has a commit made by a thread that is lent, or by the committer's own."""
    threads = []

    def run(commit: Any) -> None:
        if request.param == "lent":
            threads.append(threading.Thread(target=commit.run))
            threads[-1].start()
        else:
            commit.start()

    yield run
    for thread in threads:
        thread.join(BOUND_S)
        assert not thread.is_alive()


def test_what_was_stored_is_told(
    make_committer: Any, make: Any, coordinator: Any, new_threads: Any
) -> None:
    """To whoever waits, as often as is asked for; the committer has one thread at most."""
    committer = make_committer()
    for _ in range(20):
        commit = committer.begin(OFFSETS)
        make(commit)
        assert commit.result() == OFFSETS
    assert coordinator.commits == 20
    assert new_threads() <= 1


def test_what_the_client_raises_is_raised(
    make_committer: Any, make: Any, coordinator: Any
) -> None:
    """To whoever waits; the next commit is made all the same."""
    committer = make_committer()
    coordinator.error = KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID))
    commit = committer.begin(OFFSETS)
    make(commit)
    with pytest.raises(KafkaException):
        commit.result()
    coordinator.error = None
    commit = committer.begin(OFFSETS)
    make(commit)
    assert commit.result() == OFFSETS


def test_an_answer_that_comes_too_late(make_committer: Any, make: Any, coordinator: Any) -> None:
    """It was taken for unanswered; the next commit waits for it, and is answered itself."""
    committer = make_committer(0.05)
    coordinator.may_answer.clear()
    late = committer.begin(OFFSETS)
    make(late)
    with pytest.raises(CommitTimedOut):
        late.result()
    assert not committer.settle(0)
    with pytest.raises(CommitTimedOut):
        committer.begin(OFFSETS)
    coordinator.may_answer.set()
    assert committer.settle(BOUND_S)
    assert coordinator.commits == 1
    commit = committer.begin(OFFSETS)
    make(commit)
    assert commit.result() == OFFSETS


def test_the_end_waits_for_the_answer_that_is_owed(make_committer: Any, coordinator: Any) -> None:
    """The client is closed after it, by a thread that nobody waits for."""
    closed = threading.Event()
    committer = make_committer(0.05)
    coordinator.may_answer.clear()
    commit = committer.begin(OFFSETS)
    commit.start()
    with pytest.raises(CommitTimedOut):
        commit.result()
    committer.stop(closed.set)
    assert not closed.wait(0.1)
    coordinator.may_answer.set()
    assert closed.wait(BOUND_S)
