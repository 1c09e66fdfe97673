# SPDX-License-Identifier: Apache-2.0
"""Whether a client still knows a broker; librdkafka can lose them all, and never look again.

A broker that has just come up, or was taken for dead by its controller, answers with a list of no
brokers. librdkafka 2.10 and later drop the ones they knew then, and now and then also what would
have them begin anew (https://github.com/confluentinc/librdkafka/issues/5301). Such a client must
be replaced; its statistics are where it shows.
"""

from __future__ import annotations

import orjson

STATISTICS_INTERVAL_S = 5.0
_IN_A_ROW = 2  # one may fall between the old list and the new one
_REAL = ("learned", "configured")


class KnownBrokers:
    """Takes a client's statistics. Threads: the one that polls the client writes, any reads."""

    def __init__(self) -> None:
        self._none_in_a_row = 0

    @property
    def all_lost(self) -> bool:
        """Whether the client knows no broker, and so will never reach one again."""
        return self._none_in_a_row >= _IN_A_ROW

    def begin_anew(self) -> None:
        """Note that a new client is watched from now on."""
        self._none_in_a_row = 0

    def heard(self, statistics: str) -> None:
        """Take the client's statistics callback."""
        brokers = orjson.loads(statistics)["brokers"].values()
        known = any(broker["source"] in _REAL for broker in brokers)
        self._none_in_a_row = 0 if known else self._none_in_a_row + 1
