# SPDX-License-Identifier: Apache-2.0
"""What a notifier's retry means."""

import pytest

from kafka_notify.errors import ConfigurationError, DeliveryRefused, DeliveryTimeout
from kafka_notify.runtime.retry import call_with_retry, check_retry


def failing(times: int, error: Exception, log: list[int]):
    def attempt(number: int) -> None:
        log.append(number)
        if len(log) <= times:
            raise error

    return attempt


def no_wait(_seconds: float) -> None:
    """Stand in for the clock."""


@pytest.mark.parametrize(("retry", "attempts"), [(0, [1]), (1, [1, 2]), (3, [1, 2, 3, 4])])
def test_n_means_n_further_attempts(retry, attempts):
    """After the last attempt its error is raised as it is."""
    log = []
    with pytest.raises(DeliveryTimeout, match="gone"):
        call_with_retry(
            failing(99, DeliveryTimeout("gone", retriable=True), log), retry, sleep=no_wait
        )
    assert log == attempts


@pytest.mark.parametrize("retry", [None, -1])
def test_for_ever_goes_on_until_it_succeeds(retry):
    """None and -1 are the same: a broker that comes back after twenty attempts gets the record."""
    log = []
    call_with_retry(
        failing(20, DeliveryTimeout("gone", retriable=True), log), retry, sleep=no_wait
    )
    assert log == list(range(1, 22))


def test_what_cannot_succeed_is_not_tried_again():
    """A record that is too large is refused once."""
    log = []
    with pytest.raises(DeliveryRefused):
        call_with_retry(failing(99, DeliveryRefused("too large"), log), -1)
    assert log == [1]


def test_a_later_refusal_ends_the_retries():
    """The broker came back and said no: that answer is raised."""
    errors = iter([DeliveryTimeout("gone", retriable=True), DeliveryRefused("no permission")])

    def attempt(_number: int) -> None:
        raise next(errors)

    with pytest.raises(DeliveryRefused, match="no permission"):
        call_with_retry(attempt, 5, sleep=no_wait)


@pytest.mark.parametrize("nonsense", [-2, 1.5, True, "3"])
def test_nonsense_is_refused(nonsense):
    """The error says what retry may be."""
    with pytest.raises(ConfigurationError, match="for ever"):
        check_retry(nonsense)
