# SPDX-License-Identifier: Apache-2.0
"""Where a share group begins, so that nothing sent after its first listener started is missed.

Brokers choose the start of a partition when a member first fetches from it, by the group's
setting ``share.auto.offset.reset``, and they keep their choice in memory alone until a first
record is settled there: a restart before that makes them choose again. So with ``latest`` (the
default) what is sent before the first fetch is lost, and so is what is not settled at a restart.

Here a group ends up with ``earliest``, whatever happens. One that is to begin at the end does so
by three measures: this listener notes where the partitions end; the group starts with
``by_duration``, a little before that, and is set to ``earliest`` when all brokers have chosen;
and what lies before the noted ends is dropped, by those members that came while the group began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from kafka_notify.core.message import Partition, Record
from kafka_notify.drivers.confluent_admin import GroupSetting, KafkaAdmin
from kafka_notify.errors import BrokerRefused
from kafka_notify.native import time

NO_SHARE_GROUPS = (
    "the cluster has no share groups: commit_policy=share needs Kafka 4.2 or later with the "
    "feature share.version=1; use another commit_policy"
)

_RESET = "share.auto.offset.reset"
_AT_START = "earliest"
_LOCK = "share.record.lock.duration.ms"
_LIMIT = "share.delivery.count.limit"
_USUAL_LOCK_MS = "30000"
_USUAL_LIMIT = "5"
_WISHES = {
    # The most that brokers allow by default: locks cannot be renewed, and beyond the limit a
    # record is lost.
    _LOCK: "60000",
    _LIMIT: "10",
    # By default a new member hears of its partitions with its second heartbeat, after 5 s.
    "share.assignment.interval.ms": "0",
    # As every other consumer of ours.
    "share.isolation.level": "read_committed",
}
_MARGIN_S = 60.0  # for the clocks of senders that are ahead, and starts that are slow
_SEEN_S = 2.0
_LOOK_AGAIN_S = 0.05


class ShareStart:
    """The start of one group, as one member brings it about. Threads: the member's."""

    def __init__(
        self,
        admin: KafkaAdmin,
        *,
        group: str,
        from_end: bool,
        timeout_s: float,
        longest_start_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``timeout_s`` bounds each request, ``longest_start_s`` is what a start may take."""
        self._admin = admin
        self._group = group
        self._from_end = from_end
        self._timeout_s = timeout_s
        self._back_s = longest_start_s + _MARGIN_S
        self._clock = clock
        self._ends: dict[Partition, int] = {}
        self._began_s = 0.0
        self.is_pending = False
        self.lock_s = float(_USUAL_LOCK_MS) / 1000
        self.delivery_limit = int(_USUAL_LIMIT)

    @property
    def partitions(self) -> int:
        """How many partitions there are to begin in, while it is pending."""
        return len(self._ends)

    def begin(self, topics: Iterable[str]) -> None:
        """Set where the group begins, if nobody has; before it is joined.

        Raises BrokerUnavailable or BrokerRefused.
        """
        # In this order: what is noted here is dropped only if nobody had started yet afterwards,
        # so that all of it was sent before anybody had.
        ends = self._admin.end_offsets(topics, self._timeout_s) if self._from_end else {}
        found = self._settings()
        if _RESET not in found:
            raise BrokerRefused(f"group {self._group}: {NO_SHARE_GROUPS}")
        if found[_RESET].value != _AT_START:
            # Without any partition there is nothing that would have to be passed over.
            self.is_pending = bool(ends)
            self._set({_RESET: f"by_duration:PT{round(self._back_s)}S" if ends else _AT_START})
            self._ends = ends
            self._began_s = self._clock()
        self._wish(found)

    def _settings(self) -> dict[str, GroupSetting]:
        try:
            return self._admin.group_settings(self._group, self._timeout_s)
        except BrokerRefused as error:
            raise self._explain(error) from error

    def _set(self, values: dict[str, str]) -> None:
        try:
            self._admin.set_group(self._group, values, self._timeout_s)
        except BrokerRefused as error:
            raise self._explain(error) from error

    def _explain(self, error: BrokerRefused) -> BrokerRefused:
        if error.code.endswith("_AUTHORIZATION_FAILED"):
            why = (
                f"commit_policy=share needs DESCRIBE_CONFIGS and ALTER_CONFIGS on the group "
                f"{self._group!r}; without the latter, have {_RESET}={_AT_START} set on it"
            )
        elif error.code in ("INVALID_CONFIG", "INVALID_REQUEST", "UNSUPPORTED_VERSION"):
            why = NO_SHARE_GROUPS
        else:
            return error
        return BrokerRefused(f"{error}; {why}", code=error.code)

    def _wish(self, found: dict[str, GroupSetting]) -> None:
        """Ask for what is better than the defaults; what an operator has set stays."""
        wanted = {
            name: value
            for name, value in _WISHES.items()
            if name in found and found[name].is_default and found[name].value != value
        }
        granted = {name: setting.value for name, setting in found.items()}
        for wish in [wanted, *({name: value} for name, value in wanted.items())]:
            # All at once; each on its own if the cluster's bounds do not let all of them pass.
            with suppress(BrokerRefused):
                if wish:
                    self._admin.set_group(self._group, wish, self._timeout_s)
                    granted.update(wish)
                if wish == wanted:
                    break
        self.lock_s = float(granted.get(_LOCK, _USUAL_LOCK_MS)) / 1000
        self.delivery_limit = int(granted.get(_LIMIT, _USUAL_LIMIT))

    def is_late(self) -> bool:
        """Tell whether it is time to end the start, wherever brokers have got."""
        return self._clock() - self._began_s > self._back_s / 2

    def finish(self) -> None:
        """Have partitions that are new from now on, or forgotten, read from their start.

        Raises as ``begin``; may be called again then.
        """
        self._set({_RESET: _AT_START})
        deadline = time.monotonic() + _SEEN_S
        # Another listener that begins now must find it.
        while self._settings()[_RESET].value != _AT_START and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN_S)
        self.is_pending = False

    def is_before(self, record: Record) -> bool:
        """Tell whether a record was sent before the group began.

        By its offset; the timestamp is for a topic that was deleted, and made anew since.
        """
        if not self._ends or record.offset >= self._ends.get(record.where, 0):
            return False
        return record.timestamp_ms / 1000 < self._began_s + _MARGIN_S
