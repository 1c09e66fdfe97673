# SPDX-License-Identifier: Apache-2.0
"""Committed offsets where they went wrong in others that commit out of order.

Confluent's Parallel Consumer has stalled after rebalances (its issue 857), skipped a record whose
note it could not read (875), and committed offsets beyond the end of a quiet partition (894).
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from kafka_notify.broker import Cluster
from kafka_notify.core.offsets import Beyond, write_note
from tests.faults.conftest import Report
from tests.faults.judge import judge
from tests.faults.scene import AFTER, POLICIES, SETTLE_S, Scene, pause
from tests.scenarios.conftest import BRISK_MEMBER
from tests.scenarios.topics import ANSWER_S
from tests.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

CHANGES = 12


class Watch:
    """What a group has committed, look after look: never backwards, never beyond the end."""

    def __init__(self, scene: Scene, policy: str) -> None:
        self._scene = scene
        self._policy = policy
        self._before: dict[int, int] = {}

    def look(self) -> None:
        """Look, and compare with the time before."""
        topic, bare = self._scene.log_topic, self._scene.bare
        found = bare.committed(self._scene.group(self._policy), topic)
        ends = bare.ends(topic)
        for partition, offset in found.items():
            assert self._before.get(partition, 0) <= offset <= ends[partition], (
                f"{self._policy}, partition {partition}: {self._before} -> {found}, ends {ends}"
            )
        assert self._before.keys() <= found.keys()
        self._before = found


def committed(consumer: Consumer, places: list[TopicPartition]) -> bool:
    """Commit; tell False while a broker that has just come up is nobody's coordinator."""
    try:
        stored = consumer.commit(offsets=places, asynchronous=False)
    except KafkaException:
        return False
    return all(one.error is None for one in stored or ())


@pytest.mark.parametrize("member", BRISK_MEMBER)
def test_rebalances_while_little_comes(
    member: str, single: Cluster, tmp_path: Path, unique: str, seed: str, report: Report
) -> None:
    """Slow endpoints, members that come and go, and nothing new for most partitions."""
    chance = random.Random(seed)  # noqa: S311 - the same on every run
    with Scene(
        single.bootstrap, tmp_path / "scene", unique, partitions=8, **BRISK_MEMBER[member]
    ) as scene:
        watches = [Watch(scene, policy) for policy in POLICIES]
        for _ in range(3):
            scene.listener("--delay", 1.0)
        for change in range(CHANGES):
            if change % 4 == 0:
                scene.send(60)
            pause(chance.uniform(0, 0.5))
            scene.leave(chance.choice(scene.listeners))
            scene.listener("--delay", 1.0, wait=chance.random() < 0.5)
            for watch in watches:
                watch.look()
        found = scene.settle()
        for watch in watches:
            watch.look()
    report(f"rebalances, little traffic ({member})", found, times=CHANGES)
    judge(found)
    for policy in POLICIES:
        assert (found[policy].lost, found[policy].received) == (0, 60 * CHANGES // 4)


def test_notes_that_are_none(single: Cluster, tmp_path: Path, unique: str, report: Report) -> None:
    """A note beside the committed offset that cannot be read costs no record: not one is skipped.

    One is somebody else's, one is empty, one is cut off, one ends beyond the log.
    """
    ours = write_note(10, Beyond(40, [10, *range(13, 40, 2)]))
    notes = ["their own words", "kn1:", ours[: len(ours) // 2], f"{ours}x"]
    with Scene(single.bootstrap, tmp_path / "scene", unique, policies=[AFTER]) as scene:
        scene.send(400)
        consumer = Consumer(
            {"bootstrap.servers": single.bootstrap, "group.id": scene.group(AFTER), "log_level": 0}
        )
        places = [
            TopicPartition(scene.log_topic, one, 10, metadata=note)
            for one, note in enumerate(notes)
        ]
        eventually(lambda: committed(consumer, places), ANSWER_S, "offsets with those notes")
        consumer.close()
        log = scene.bare.read(scene.log_topic)
        wanted = {one.payload["number"] for one in log if one.offset >= 10}
        scene.listener()
        eventually(
            lambda: scene.journal.numbers("out", AFTER) >= wanted, SETTLE_S, "all unfinished"
        )
        found = scene.settle(ANSWER_S)
        taken = [line.number for line in scene.journal.lines("in")]
    found[AFTER].lost -= 400 - len(wanted)  # below the committed offsets: none of theirs
    report("notes that are none", found)
    assert sorted(taken) == sorted(wanted)
    assert (found[AFTER].lost, found[AFTER].duplicates, found[AFTER].uncommitted) == (0, 0, 0)
