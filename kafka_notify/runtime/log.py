# SPDX-License-Identifier: Apache-2.0
"""Events to log lines: the one place that says at which level, in which words.

Lifecycle at INFO, risk at WARNING, loss at ERROR; payloads never.
"""

from __future__ import annotations

import logging
import time

from kafka_notify.core import events
from kafka_notify.native import threading

_LOG = logging.getLogger("kafka_notify")
_REPEAT_AFTER_S = 30.0

_LINES: dict[type[events.Event], tuple[int, str]] = {
    events.DeliveryFailed: (
        logging.ERROR,
        "Notification {message_id} was not delivered to topic {topic}: {error}",
    ),
    events.DeliveryCallbackFailed: (
        logging.ERROR,
        "on_delivery raised for the delivery report of notification {message_id}: {error!r}",
    ),
    events.ReportsFailed: (
        logging.ERROR,
        "Serving delivery reports goes on after an error: {error!r}",
    ),
    events.RecordsUnsent: (
        logging.ERROR,
        "{count} notifications were not delivered within {waited_s:.1f} s of closing "
        "(close_timeout)",
    ),
    events.ConnectionProblem: (logging.ERROR, "Kafka at {address}: {error}"),
    events.ContextOmitted: (logging.WARNING, "Notifications go without their context: {reason}"),
    events.TopicsCreated: (logging.INFO, "Created the topics {topics}"),
    events.TopicsMissing: (
        logging.WARNING,
        "Topics that do not exist and could not be created, to be read from their start as soon "
        "as they exist: {reasons}",
    ),
    events.GroupStarted: (
        logging.INFO,
        "Group {group} is new here and begins at the {start}: {offsets}",
    ),
    events.TopicsJoinedLate: (
        logging.WARNING,
        "Group {group} has live members and no offsets in {topics}: read from their start",
    ),
    events.PartitionsAssigned: (logging.INFO, "Group {group}: reading {partitions}"),
    events.PartitionsRevoked: (logging.INFO, "Group {group}: gave up {partitions}"),
    events.PartitionsLost: (
        logging.WARNING,
        "Group {group}: lost {partitions}, the group took this listener for dead",
    ),
    events.StartSlow: (
        logging.WARNING,
        "Group {group}: not at rest after {waited_s:.1f} s, another member is slow to let go; the "
        "group's start is committed, nothing is missed",
    ),
    events.CommitRetried: (
        logging.WARNING,
        "Group {group}: commit failed (attempt {attempt}), trying again: {error}",
    ),
    events.RecordUndecodable: (
        logging.ERROR,
        "Skipped an undecodable record, {topic} partition {partition} offset {offset}: {reason}",
    ),
    events.LeftBehind: (
        logging.ERROR,
        "Group {group}: endpoints still hold {records} notifications after {waited_s:.1f} s "
        "(drain_timeout); they are committed, and handled by this process or by nobody",
    ),
    events.DeadLettered: (
        logging.WARNING,
        "Group {group}: dead letter of {topic} partition {partition} offset {offset}: {reason}",
    ),
    events.DeadLetterFailed: (
        logging.ERROR,
        "Group {group}: the dead letter of {topic} partition {partition} offset {offset} could "
        "not be written, its key waits: {error}",
    ),
    events.GivenUp: (
        logging.ERROR,
        "Group {group}: gave up {topic} partition {partition} offset {offset}: {reason}",
    ),
    events.EndpointStuck: (
        logging.ERROR,
        "Group {group}: an endpoint has had notification {message_id} ({topic} partition "
        "{partition} offset {offset}) for {running_s:.1f} s",
    ),
    events.ComesAgain: (
        logging.WARNING,
        "Group {group}: {records} notifications of {partitions} may come a second time: {reason}",
    ),
    events.StillRequeued: (
        logging.WARNING,
        "Group {group}: notification {message_id} was requeued {attempts} times in {waited_s:.1f} "
        "s; the later ones of its key wait, and it takes room in the dispatch_window",
    ),
    events.Abandoned: (
        logging.ERROR,
        "Group {group}: notification {message_id} was given up in its endpoint, neither "
        "acknowledged nor requeued; it is committed and will not come again",
    ),
    events.ConsumerReopened: (logging.WARNING, "Group {group}: consumer made anew: {error}"),
    events.ReaderStarted: (logging.INFO, "Reading {topics} from {offsets}"),
    events.ReaderReopened: (
        logging.WARNING,
        "Reading {topics}: the client is made anew, and goes on where it was: {error}",
    ),
    events.RecordsMissed: (
        logging.ERROR,
        "Reading {topics}: Kafka has removed records that were not read yet (retention, or the "
        "topic is another one); expected {expected}, going on from {found}",
    ),
    events.OutboxSpooling: (
        logging.WARNING,
        "Sends do not get through ({reason}): notifications go to the outbox, {folder}",
    ),
    events.OutboxStraight: (
        logging.INFO,
        "Sends get through again; the last {waiting} of the outbox are on their way",
    ),
    events.OutboxAdopted: (
        logging.WARNING,
        "Sending {records} notifications that a process left in the outbox, {path}; some may have "
        "been sent before",
    ),
    events.OutboxKept: (
        logging.WARNING,
        "{records} notifications wait in the outbox, {path}, after {waited_s:.1f} s of closing "
        "(close_timeout); the next process with this outbox sends them",
    ),
    events.OutboxSalvaged: (
        logging.ERROR,
        "{error}: put aside as {aside}; {saved} notifications of it could be read and are sent, "
        "about {lost} are lost",
    ),
    events.OutboxProblem: (logging.ERROR, "The outbox tries again: {error}"),
}


class EventLog:
    """Subscriber that logs; the same connection problem at most every 30 s. Threads: any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}

    def after_fork_in_child(self) -> None:
        """Make a new lock: a thread of the parent may hold the old one."""
        self._lock = threading.Lock()

    def __call__(self, event: events.Event) -> None:
        """Log one event."""
        if isinstance(event, events.EndpointFailed):
            _LOG.error(
                "Endpoint %s raised for notification %s",
                event.endpoint,
                ", ".join(map(str, event.message_ids)),
                exc_info=event.error,
            )
        elif isinstance(event, events.ListenerFailed):
            _LOG.error(
                "Group %s: the listener goes on after an error", event.group, exc_info=event.error
            )
        elif isinstance(event, events.CommitAbandoned):
            self._commit_abandoned(event)
        elif not self._repeats(event):
            level, text = _LINES[type(event)]
            if _LOG.isEnabledFor(level):
                _LOG.log(level, "%s", text.format_map(_shown(event)))

    def _repeats(self, event: events.Event) -> bool:
        if isinstance(event, events.ConnectionProblem):
            what = str(event.error)
        elif isinstance(event, events.ContextOmitted):
            what = event.reason
        else:
            return False
        now = time.monotonic()
        with self._lock:
            if now - self._said.get(what, -_REPEAT_AFTER_S) < _REPEAT_AFTER_S:
                return True
            self._said[what] = now
        return False

    @staticmethod
    def _commit_abandoned(event: events.CommitAbandoned) -> None:
        where = ", ".join(map(str, event.partitions))
        if event.unknown:
            _LOG.error(
                "Group %s: %d notifications of %s may be lost: a commit's outcome is unknown and "
                "the partitions went to another member",
                event.group,
                event.records,
                where,
            )
        else:
            _LOG.info(
                "Group %s: let %d uncommitted notifications of %s go to the member that has "
                "them now",
                event.group,
                event.records,
                where,
            )


def _shown(event: events.Event) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name in type(event).__dataclass_fields__:
        value = getattr(event, name)
        if isinstance(value, dict):
            value = ", ".join(f"{key} ({part})" for key, part in value.items())
        elif isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value))
        fields[name] = value
    return fields
