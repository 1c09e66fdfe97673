# SPDX-License-Identifier: Apache-2.0
"""What the cluster tells of a group, asked over a connection of its own."""

from __future__ import annotations

import time

from kafka_notify.drivers.base import AdminClient, Driver, OnProblem
from kafka_notify.errors import BrokerError, BrokerRefused
from kafka_notify.native import threading

_ANSWER_S = 5.0  # how long the coordinator may take for one answer
_LOOK_S = 0.1
_HEARD_OF_S = 6.0  # a heartbeat of 5 s, and a bit


def has_company(admin: AdminClient, group: str, timeout_s: float) -> bool:
    """Tell whether the group has members: then nobody can move its start from outside.

    A listener that is alone, or cannot find out, has to join before it may say so.
    """
    try:
        return admin.group_has_members(group, timeout_s)
    except BrokerError:
        return False


def answers(driver: Driver, group: str, *, on_problem: OnProblem) -> bool:
    """Tell whether the coordinator answers a client that is new. Blocks at most 5 s."""
    admin = driver.new_admin(on_problem=on_problem)
    try:
        admin.group_has_members(group, _ANSWER_S)
    except BrokerError:
        return False
    finally:
        admin.close()
    return True


def await_rest(
    driver: Driver,
    group: str,
    *,
    joined: threading.Event,
    given_up: threading.Event,
    deadline: float,
    on_problem: OnProblem,
) -> bool | None:
    """Return True once the group is at rest after a member joined it: all have what is theirs.

    ``joined`` is set when the member is given partitions; one that gets none has been heard of all
    the same when the group was seen to move, or had the time to.
    False after the deadline (monotonic), or when given up; None where nobody can tell.
    """
    admin = driver.new_admin(on_problem=on_problem)
    heard_of_by_now = time.monotonic() + _HEARD_OF_S
    moved = False
    try:
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                at_rest = admin.group_is_at_rest(group, min(left_s, _ANSWER_S))
            except BrokerRefused:
                return None
            except BrokerError:
                at_rest = False
            if at_rest is None:
                return None
            moved = moved or not at_rest
            if at_rest and (moved or joined.is_set() or time.monotonic() > heard_of_by_now):
                return True
            if given_up.wait(min(_LOOK_S, left_s)):
                return False
        return False
    finally:
        admin.close()
