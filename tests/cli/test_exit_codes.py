# SPDX-License-Identifier: Apache-2.0
"""Exit codes: which error ends with which, and that all are documented."""

from __future__ import annotations

import pytest

from kafka_notify import errors
from kafka_notify.cli.exit_codes import MEANINGS, TABLE, ExitCode, exit_code_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigurationError("x"), ExitCode.USAGE),
        (errors.MissingExtra("cli", needed_for="x"), ExitCode.USAGE),
        (errors.SerializationError("x"), ExitCode.USAGE),
        (errors.BrokerUnavailable("x"), ExitCode.BROKER),
        (errors.BrokerRefused("x"), ExitCode.BROKER),
        (errors.CommitFailed("x"), ExitCode.BROKER),
        (errors.SendBufferFull("x"), ExitCode.INCOMPLETE),
        (ValueError("x"), ExitCode.BUG),
    ],
)
def test_each_kind_of_error_has_its_code(error: Exception, code: ExitCode) -> None:
    """Scripts can tell a wrong argument from a broker that is away, and both from a bug."""
    assert exit_code_of(error) == code


def test_every_code_is_in_the_table_of_the_help() -> None:
    """A code that a command can end with is documented."""
    assert set(MEANINGS) == set(ExitCode)
    assert all(f"\n  {code:<4} {text}" in TABLE for code, text in MEANINGS.items())
