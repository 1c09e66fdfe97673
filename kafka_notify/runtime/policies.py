# SPDX-License-Identifier: Apache-2.0
"""From a commit policy's name to what runs it."""

from __future__ import annotations

from collections.abc import Callable

from kafka_notify.errors import ConfigurationError
from kafka_notify.runtime.commit_after import CommitAfter
from kafka_notify.runtime.commit_before import CommitBefore
from kafka_notify.runtime.commits import CommitPolicy, Commits

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


def commits_of(policy: CommitPolicy) -> Callable[..., Commits]:
    """Return what makes the ``Commits`` of a policy."""
    return _COMMITS[policy]
