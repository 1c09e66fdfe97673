# SPDX-License-Identifier: Apache-2.0
"""What a notifier's ``retry`` means: the one tenacity policy of the sending side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka_notify.errors import ConfigurationError, DeliveryError
from kafka_notify.native import time

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0


def check_retry(retry: int | None) -> int | None:
    """Return ``retry`` with None for "for ever"; raise ConfigurationError for nonsense."""
    if retry is None or retry == -1:
        return None
    if type(retry) is not int or retry < -1:
        raise ConfigurationError(
            f"retry {retry!r}: it is None or -1 (for ever), 0 (one attempt) or a number of "
            "further attempts"
        )
    return retry


def call_with_retry(
    function: Callable[[int], None],
    retry: int | None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Call ``function(attempt)`` until it succeeds, at most ``retry`` times more than once.

    Only a DeliveryError that says ``retriable`` is tried again, after a wait that doubles from
    0.1 s to 5 s, with jitter; the last error is raised as it is.
    """
    more = check_retry(retry)
    try:
        function(1)
        return
    except DeliveryError as error:
        if more == 0 or not error.retriable:
            raise
    _retry(function, more, sleep)


def _retry(
    function: Callable[[int], None], more: int | None, sleep: Callable[[float], None]
) -> None:
    # Loaded when a first attempt has failed: its import takes longer than most programs send.
    import tenacity

    for attempt in tenacity.Retrying(**policy(more), sleep=sleep):
        with attempt:
            function(attempt.retry_state.attempt_number + 1)


def policy(more: int | None) -> dict[str, Any]:
    """Return tenacity's arguments for ``more`` attempts after the first, None: for ever."""
    import tenacity

    return {
        "stop": tenacity.stop_never if more is None else tenacity.stop_after_attempt(more),
        "wait": tenacity.wait_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S)
        + tenacity.wait_random(0, _FIRST_WAIT_S),
        "retry": tenacity.retry_if_exception(
            lambda error: isinstance(error, DeliveryError) and error.retriable
        ),
        "reraise": True,
    }
