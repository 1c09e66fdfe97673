# SPDX-License-Identifier: Apache-2.0
"""What each commit policy guarantees, as asserts on an account."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.scene import AFTER, SENDER_THREADS, WINDOW
from tests.faults.tally import Tally


def judge(
    accounts: Mapping[str, Tally],
    *,
    killed: int = 0,
    senders_killed: int = 0,
    zombies: bool = False,
) -> None:
    """Assert the guarantee of each policy, where so many listeners and senders were killed.

    ``zombies``: some were taken for dead and lived on, so two members were at work at once.
    What one of them had committed before_dispatch it dispatches late rather than never. An
    eviction that a listener tells of may have been such a time, too: it learns of it late.
    """
    for policy, found in accounts.items():
        silent = found.sent - found.confirmed - found.failed
        assert silent <= senders_killed * SENDER_THREADS, found
        assert found.confirmed_not_in_log == 0, found
        assert found.log_out_of_order == 0, found
        assert found.uncommitted == 0, found
        if policy == AFTER or not zombies:
            assert found.out_of_order == 0, found
        if policy == AFTER:
            assert found.lost == 0, found
            assert killed or found.unread or found.duplicates <= found.told_again, found
            assert found.skipped_ahead == 0, found
            assert zombies or found.evictions or found.overlapped == 0, found
        else:
            assert found.duplicates == 0, found
            assert found.lost <= (killed + found.evictions) * WINDOW + found.told_lost, found
