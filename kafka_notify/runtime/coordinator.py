# SPDX-License-Identifier: Apache-2.0
"""What only a group's coordinator can tell, asked over a connection of its own."""

from __future__ import annotations

import time
from collections.abc import Callable

from kafka_notify.drivers.base import AdminClient, Driver, OnProblem
from kafka_notify.errors import BrokerError, BrokerRefused
from kafka_notify.native import threading

_ANSWER_S = 5.0  # how long the coordinator may take for one answer
_LOOK_S = 0.1


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
    member_id: Callable[[], str],
    given_up: threading.Event,
    deadline: float,
    on_problem: OnProblem,
) -> bool | None:
    """Return True once the group is at rest with this member in it: all have what is theirs.

    False after the deadline (monotonic), or when given up; None where nobody can tell.
    """
    admin = driver.new_admin(on_problem=on_problem)
    try:
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                settled = admin.group_is_settled(group, member_id(), min(left_s, _ANSWER_S))
            except BrokerRefused:
                return None
            except BrokerError:
                settled = False
            if settled is not False:
                return settled
            if given_up.wait(min(_LOOK_S, left_s)):
                return False
        return False
    finally:
        admin.close()
