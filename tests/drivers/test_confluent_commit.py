# SPDX-License-Identifier: Apache-2.0
"""Commits that a coordinator answers late or not at all, and what goes on after those it answers.

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


class Refused:
    """What the client says of a partition that was not stored."""

    error = KafkaError(KafkaError.ILLEGAL_GENERATION)


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


def test_what_follows_is_called_before_a_commit_returns(make_committer: Any) -> None:
    """In the thread that has the answer; what that gives back is called there, too."""
    called: list[Any] = []
    gone_on = threading.Event()

    def then(stays: bool) -> Callable[[], None]:
        called.append((stays, threading.current_thread()))
        return lambda: (called.append(threading.current_thread()), gone_on.set())[0]

    assert make_committer().commit(OFFSETS, then) == OFFSETS
    assert called[0][0] is True
    assert gone_on.wait(BOUND_S)
    assert called[1] is called[0][1]
    assert called[1].name == NAME


def test_nobody_waits_for_what_goes_on(make_committer: Any, new_threads: Any) -> None:
    """Commits have another thread while one is busy, and no more threads than that takes."""
    release = threading.Event()
    busy = []

    def go_on() -> None:
        busy.append(threading.current_thread())
        assert release.wait(BOUND_S)

    committer = make_committer()
    committer.commit(OFFSETS, lambda _: go_on)
    eventually(lambda: busy, BOUND_S, "the first goes on")
    for _ in range(20):
        assert committer.commit(OFFSETS, lambda _: None) == OFFSETS
    assert new_threads() == 2
    committer.commit(OFFSETS, lambda _: go_on)
    eventually(lambda: len(busy) == 2, BOUND_S, "the second goes on")
    assert committer.commit(OFFSETS) == OFFSETS
    assert new_threads() == 3
    release.set()
    assert committer.commit(OFFSETS) == OFFSETS


def test_nothing_follows_what_was_not_stored(make_committer: Any, coordinator: Any) -> None:
    """An error of the request, or of one partition: whoever asked is told, and nothing is done."""
    called: list[bool] = []
    committer = make_committer()
    coordinator.error = KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID))
    with pytest.raises(KafkaException):
        committer.commit(OFFSETS, called.append)
    coordinator.error = None
    coordinator.stored = [OFFSETS[0], Refused()]
    assert committer.commit(OFFSETS, called.append) == coordinator.stored
    assert not called


def test_nothing_follows_an_answer_that_comes_too_late(
    make_committer: Any, coordinator: Any
) -> None:
    """It was taken for unanswered; the next commit waits for it, and is answered itself."""
    called: list[bool] = []
    committer = make_committer(0.05)
    coordinator.may_answer.clear()
    with pytest.raises(CommitTimedOut):
        committer.commit(OFFSETS, called.append)
    assert not committer.settle(0)
    with pytest.raises(CommitTimedOut):
        committer.commit(OFFSETS, called.append)
    coordinator.may_answer.set()
    assert committer.settle(BOUND_S)
    assert coordinator.commits == 1
    assert not called
    committer.commit(OFFSETS, called.append)
    assert called == [True]


def test_an_answer_at_the_last_moment_counts(make_committer: Any, coordinator: Any) -> None:
    """What follows has begun when the time is over: then the commit has not timed out."""
    entered, release = threading.Event(), threading.Event()

    def then(_stays: bool) -> None:
        entered.set()
        assert release.wait(BOUND_S)

    committer = make_committer(0.05)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(committer.commit(OFFSETS, then)))
    asking.start()
    assert entered.wait(BOUND_S)
    asking.join(0.2)  # past its time-out
    assert not answers
    release.set()
    asking.join(BOUND_S)
    assert answers == [OFFSETS]
    assert committer.settle(0)


def test_what_raises_is_raised_by_the_commit(make_committer: Any, new_threads: Any) -> None:
    """An error in what follows does not end the thread, nor is it lost."""

    def then(_stays: bool) -> None:
        raise ValueError("made up")

    committer = make_committer()
    with pytest.raises(ValueError, match="made up"):
        committer.commit(OFFSETS, then)
    assert committer.commit(OFFSETS) == OFFSETS
    assert new_threads() == 1


def test_the_end_waits_for_the_answer_that_is_owed(make_committer: Any, coordinator: Any) -> None:
    """The client is closed after it, by a thread that nobody waits for."""
    closed = threading.Event()
    committer = make_committer(0.05)
    coordinator.may_answer.clear()
    with pytest.raises(CommitTimedOut):
        committer.commit(OFFSETS)
    committer.stop(closed.set)
    assert not closed.wait(0.1)
    coordinator.may_answer.set()
    assert closed.wait(BOUND_S)
