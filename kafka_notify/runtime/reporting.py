# SPDX-License-Identifier: Apache-2.0
"""What becomes of records, and what the client says of its connections, told to who asked for it.

Counting and waking are the sender's.
"""

from __future__ import annotations

from kafka_notify.core.events import (
    ConnectionProblem,
    DeliveryCallbackFailed,
    DeliveryFailed,
    Monitor,
)
from kafka_notify.core.message import DeliveryReport
from kafka_notify.errors import BrokerError
from kafka_notify.runtime.outgoing import OnDelivery


class Reporting:
    """Threads: those in which the client serves its reports."""

    def __init__(self, *, address: str, monitor: Monitor, on_delivery: OnDelivery | None) -> None:
        self._address = address
        self._monitor = monitor
        self._on_delivery = on_delivery
        self._problems: dict[str, BrokerError] = {}

    @property
    def is_awaited(self) -> bool:
        """Whether somebody wants to hear of what went well, too."""
        return self._on_delivery is not None or bool(self._problems)

    def tell(self, report: DeliveryReport, *, raised: bool) -> None:
        """Tell of one record; ``raised`` means that its caller hears of a failure by itself."""
        if report.error is None:
            self.delivered()
        elif not raised:
            self._monitor.emit(
                DeliveryFailed(
                    topic=report.topic, message_id=report.message_id, error=report.error
                )
            )
        if self._on_delivery is None:
            return
        try:
            self._on_delivery(report)
        except Exception as error:  # noqa: BLE001 - user code, which must not end the reports
            self._monitor.emit(DeliveryCallbackFailed(message_id=report.message_id, error=error))

    def delivered(self) -> None:
        """Note that records got through: what was heard before is over."""
        if self._problems:
            self._problems = {}

    def on_problem(self, problem: BrokerError) -> None:
        """Take what the client says of its connections."""
        # One per code, the newest last: "all brokers are down" must not hide why.
        self._problems.pop(problem.code, None)
        self._problems[problem.code] = problem
        self._monitor.emit(ConnectionProblem(address=self._address, error=problem))

    def heard(self) -> str:
        """Return, as the end of a message, what the client said since it last delivered."""
        problems = "; ".join(map(str, list(self._problems.values())))
        return f"; heard since the last delivery: {problems}" if problems else ""
