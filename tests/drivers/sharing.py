# SPDX-License-Identifier: Apache-2.0
"""What the tests of share groups work with; as a program, a member that takes and then hangs.

Run by test_share.py as ``python -m tests.drivers.sharing URL GROUP TOPIC COUNT``.
"""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable

from kafka_notify.core.message import Record
from kafka_notify.drivers.base import Acquired, Settlement, ShareClient, Unstored
from kafka_notify.drivers.confluent_admin import KafkaAdmin
from tests.drivers.bench import TIMEOUT_S, Bench
from tests.waiting import eventually

LOCK_S = 2.0
BRISK = {
    # By default a lock lasts 15 s at least, and a member is heard every 5 s.
    "group.share.min.record.lock.duration.ms": "1000",
    "group.share.min.heartbeat.interval.ms": "500",
    "group.share.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
}


def short_lock(bench: Bench, group: str) -> None:
    """Have the group's records locked for LOCK_S, as an operator could."""
    set_group(bench, group, {"share.record.lock.duration.ms": str(round(LOCK_S * 1000))})


def set_group(bench: Bench, group: str, values: dict[str, str]) -> None:
    """Set something of a group from outside."""
    assert isinstance(bench.admin, KafkaAdmin)
    bench.admin.set_group(group, values, TIMEOUT_S)


def group_setting(bench: Bench, group: str, name: str) -> str:
    """Return a setting of a group."""
    assert isinstance(bench.admin, KafkaAdmin)
    return bench.admin.group_settings(group, TIMEOUT_S)[name].value


class Sharer:
    """A member of a share group; it notes all that it was given, and all that was not stored."""

    def __init__(self, bench: Bench, group: str, topics: Iterable[str]) -> None:
        self.client: ShareClient = bench.driver.new_share_consumer(
            group, on_problem=bench.problems.append
        )
        self.given: list[Acquired] = []
        self.unstored: list[Unstored] = []
        self.client.subscribe(topics)

    @property
    def values(self) -> list[bytes | None]:
        return [one.record.value for one in self.given]

    @property
    def stored(self) -> Counter[bytes | None]:
        """Of those that were given and settled, how many of each value the broker has stored."""
        lost = (record.value for one in self.unstored for record in one.records)
        return Counter(self.values) - Counter(lost)

    @property
    def counts(self) -> list[tuple[bytes | None, int]]:
        return [(one.record.value, one.delivery_count) for one in self.given]

    def take(self, timeout_s: float = 0.05) -> list[Record]:
        """Take, and settle nothing."""
        taken = self.client.take(timeout_s)
        self.given += taken
        return [one.record for one in taken]

    def settle(self, records: Iterable[Record], how: Settlement = Settlement.ACCEPT) -> None:
        """Settle, and send it."""
        self.client.settle(records, how)
        self.unstored += self.client.commit(TIMEOUT_S)

    def work(self, timeout_s: float = 0.05) -> list[Record]:
        """Take, and accept it all."""
        taken = self.take(timeout_s)
        self.settle(taken)
        return taken

    def start(self) -> Sharer:
        """Return when the group's start is settled; accept what comes before."""
        eventually(lambda: self.work() or self.client.ready(), TIMEOUT_S, "the member's start")
        eventually(lambda: self.work() == [] and self.client.ready(), TIMEOUT_S, "its start")
        return self


def work_until(
    members: Iterable[Sharer],
    predicate: Callable[[], bool],
    what: str,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Let the members take and accept until the predicate is true."""
    members = list(members)

    def step() -> bool:
        for member in members:
            member.work()
        return predicate()

    eventually(step, timeout_s, what)


def take_exactly(member: Sharer, count: int) -> list[Record]:
    """Take that many records, which come at once, and settle nothing."""
    return eventually(lambda: member.take(0.5), TIMEOUT_S, f"{count} records")


def nothing_comes(members: Iterable[Sharer], for_s: float = 1.0) -> bool:
    """Take for a while; tell whether that brought nothing."""
    came = [member.take(for_s) for member in members]
    return not any(came)


def main(url: str, group: str, topic: str, count: int) -> None:
    """Take some records, say so, and neither settle them nor end."""
    member = Sharer(Bench(url), group, [topic])
    while len(member.given) < count:
        if member.take(1.0):
            break
    sys.stdout.write(f"{len(member.given)}\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
