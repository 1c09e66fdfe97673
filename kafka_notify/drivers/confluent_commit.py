# SPDX-License-Identifier: Apache-2.0
"""Synchronous commits in bounded time.

librdkafka repeats a commit for as long as the group's coordinator hangs, and takes no time-out
for it. So a commit is made by a thread that may hang, ours or one that somebody lends, and whoever
waits for it stops waiting in time. confluent_kafka lets one thread at a time into a client: until
the answer is there, nobody else may call it, or they wait as long.
"""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import Consumer, TopicPartition

from kafka_notify.native import queue, threading, time

Stored = list[TopicPartition]


class CommitTimedOut(Exception):
    """Raised when a commit has no answer in time; it may be stored all the same, or later."""


class Committer:
    """Commits with one client, one after the other. Threads: whichever owns the consumer now."""

    def __init__(self, client: Consumer, *, timeout_s: float) -> None:
        self.client = client
        self.timeout_s = timeout_s
        self._jobs: queue.SimpleQueue[Commit | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._owed: Commit | None = None

    def begin(self, offsets: Stored) -> Commit:
        """Return a commit that is to be run, or started, and waited for, before the next one.

        One after a commit that timed out waits for that first: a late answer never overtakes a
        newer one. Raises CommitTimedOut where that takes ``timeout_s``.
        """
        if not self.settle(self.timeout_s):
            raise CommitTimedOut
        return Commit(self, offsets)

    def settle(self, timeout_s: float) -> bool:
        """Return whether the client is free; wait ``timeout_s`` for the answer that is owed."""
        if self._owed is not None:
            if not self._owed.has_answer(timeout_s):
                return False
            self._owed = None
        return True

    def owe(self, commit: Commit) -> None:
        """Remember a commit that was given up, and may be answered yet."""
        self._owed = commit

    def start(self, commit: Commit) -> None:
        """Have a thread of ours make a commit."""
        if self._thread is None:
            # A daemon: a broker that hangs must not keep the process from ending.
            thread = threading.Thread(target=self._work, name="kafka-notify-commit", daemon=True)
            thread.start()
            self._thread = thread
        self._jobs.put(commit)

    def _work(self) -> None:
        while (commit := self._jobs.get()) is not None:
            commit.run()

    def stop(self, last: Callable[[], None] | None = None) -> None:
        """End the thread; call ``last`` once the answer that is owed is there. Does not wait."""
        if last is not None:
            threading.Thread(
                target=self._call_last, args=(last,), name="kafka-notify-commit", daemon=True
            ).start()
        if self._thread is not None:
            self._jobs.put(None)

    def _call_last(self, last: Callable[[], None]) -> None:
        if self._owed is not None:
            self._owed.has_answer(None)
        last()


class Commit:
    """One commit, which one thread makes and another may wait for. From ``Committer.begin``."""

    def __init__(self, committer: Committer, offsets: Stored) -> None:
        self._committer = committer
        self._offsets = offsets
        self.timeout_s = committer.timeout_s
        self._deadline_s = time.monotonic() + self.timeout_s
        # A simple queue costs about 0.05 ms less than a future does.
        self._answers: queue.SimpleQueue[Stored | BaseException] = queue.SimpleQueue()

    def run(self) -> None:
        """Commit in this thread. Blocks for as long as the coordinator hangs; raises nothing."""
        answer: Stored | BaseException
        try:
            answer = self._committer.client.commit(offsets=self._offsets, asynchronous=False)
        except BaseException as error:  # noqa: BLE001 - raised by ``result``
            answer = error
        self._answers.put(answer)

    def start(self) -> None:
        """Have a thread of the committer's own commit. Returns at once."""
        self._committer.start(self)

    def has_answer(self, timeout_s: float | None) -> bool:
        """Tell whether it is answered, at the latest after ``timeout_s``; None: wait for it."""
        try:
            self._answers.get(timeout=timeout_s)
        except queue.Empty:
            return False
        return True

    def result(self) -> Stored:
        """Return what was stored, with an error where something was not.

        Raises KafkaException, or CommitTimedOut ``timeout_s`` after it was begun.
        """
        try:
            answer = self._answers.get(timeout=max(0.0, self._deadline_s - time.monotonic()))
        except queue.Empty as error:
            self._committer.owe(self)
            raise CommitTimedOut from error
        if isinstance(answer, BaseException):
            raise answer
        return answer
