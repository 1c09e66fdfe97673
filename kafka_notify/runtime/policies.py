# SPDX-License-Identifier: Apache-2.0
"""From a commit policy's name to what runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kafka_notify.core.batching import BatchRule
from kafka_notify.errors import ConfigurationError
from kafka_notify.runtime.commit_after import CommitAfter
from kafka_notify.runtime.commit_before import CommitBefore
from kafka_notify.runtime.commits import CommitPolicy, Commits
from kafka_notify.runtime.inhand import Hands
from kafka_notify.runtime.intake import Intake
from kafka_notify.runtime.share_intake import ShareIntake
from kafka_notify.runtime.transport import NotificationTransport

AnyIntake = Intake | ShareIntake

_COMMITS: dict[CommitPolicy, Callable[..., Commits]] = {
    CommitPolicy.BEFORE_DISPATCH: CommitBefore,
    CommitPolicy.AFTER_DISPATCH: CommitAfter,
}


def policy_of(name: CommitPolicy | str) -> CommitPolicy:
    """Return the policy of this name; raise ConfigurationError that lists them."""
    try:
        return CommitPolicy(name)
    except ValueError as error:
        known = ", ".join(policy.value for policy in CommitPolicy)
        raise ConfigurationError(
            f"commit_policy {name!r} is unknown; known are {known}"
        ) from error


def new_intake(
    policy: CommitPolicy,
    transport: NotificationTransport,
    *,
    group: str,
    topics: Sequence[str],
    batch: BatchRule | None,
    hands: Hands,
) -> AnyIntake:
    """Return the intake of a policy, which has not started."""
    if policy is CommitPolicy.SHARE:
        return ShareIntake(transport, group=group, topics=topics, batch=batch, hands=hands)
    return Intake(
        transport,
        group=group,
        topics=topics,
        batch=batch,
        hands=hands,
        commits=_COMMITS[policy],
    )
