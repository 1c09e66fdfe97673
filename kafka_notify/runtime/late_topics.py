# SPDX-License-Identifier: Apache-2.0
"""Topics that could not be made at a start, since the cluster gave no answer: asked for again."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from kafka_notify.core.events import Monitor
from kafka_notify.core.settings import Settings
from kafka_notify.drivers.base import Driver
from kafka_notify.errors import BrokerError
from kafka_notify.runtime.groupstart import ensure_topics

_ATTEMPT_S = 2.0  # a member that is silent for longer than its session would lose its partitions
_AGAIN_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class LateTopics:
    """Make them as soon as the cluster answers; what it refuses is told, and left to others.

    Threads: one, its owner's.
    """

    def __init__(self, driver: Driver, settings: Settings, monitor: Monitor) -> None:
        self._driver = driver
        self._settings = dataclasses.replace(settings, connect_timeout=_ATTEMPT_S)
        self._monitor = monitor
        self._topics: Collection[str] = ()
        self._attempts = 0
        self._at_s = 0.0

    def want(self, topics: Collection[str], now_s: float) -> None:
        """Have these made by calls of ``work`` from now on."""
        self._topics = topics
        self._attempts = 0
        self._at_s = now_s + _AGAIN_S[0]

    def work(self, now_s: float) -> None:
        """Try again if it is time; then it blocks for three times 2 s at most. Else cheap."""
        if not self._topics or now_s < self._at_s:
            return
        self._attempts += 1
        self._at_s = now_s + _AGAIN_S[min(self._attempts, len(_AGAIN_S) - 1)]
        admin = self._driver.new_admin(on_problem=_ignore)
        try:
            found = ensure_topics(
                admin, sorted(self._topics), settings=self._settings, monitor=self._monitor
            )
        except BrokerError:
            return  # the owner's own client tells of it
        finally:
            admin.close()
        self._topics = found.unanswered


def _ignore(_problem: BrokerError) -> None:
    """Tell nobody: the owner's own client hears the same."""
