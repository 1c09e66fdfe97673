# SPDX-License-Identifier: Apache-2.0
"""Our errors as oslo.messaging's: the one place that knows both trees.

Never a TransportDriverError: oslo.messaging's ``start()`` turns one into an AttributeError.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from oslo_messaging import (
    DriverLoadFailure,
    InvalidTarget,
    InvalidTransportURL,
    MessageDeliveryFailure,
    MessagingException,
)

from kafka_notify import errors

DRIVER = "kafka-notify"


class ListenFailure(MessagingException):
    """Raised when a listener cannot start; the message says what refused it, and what to do."""


class RPCUnsupported(MessagingException, NotImplementedError):
    """Raised for RPC, which Kafka is no transport for; see the hybrid deployment."""

    def __init__(self) -> None:
        super().__init__(
            "kafka-notify:// carries notifications only, not RPC. Make it a hybrid deployment: "
            "[DEFAULT] transport_url = rabbit://... for RPC, and [oslo_messaging_notifications] "
            "transport_url = kafka-notify://... for notifications"
        )


@contextmanager
def while_loading() -> Iterator[None]:
    """Turn what is wrong with a URL, an option or the outbox into what oslo.messaging raises."""
    try:
        yield
    except errors.InvalidTransportURL as error:
        raise InvalidTransportURL(error.url, str(error)) from error
    except (errors.ConfigurationError, errors.OutboxError) as error:
        raise DriverLoadFailure(DRIVER, error) from error


def not_sent(error: errors.KafkaNotifyError, topic: str) -> MessagingException:
    """Return as an oslo.messaging error what keeps a notification from Kafka."""
    if isinstance(error, (errors.InvalidName, errors.InvalidTarget)):
        return InvalidTarget(str(error), topic)
    return MessageDeliveryFailure(str(error))


@contextmanager
def while_starting() -> Iterator[None]:
    """Turn what keeps a listener from starting into a ListenFailure."""
    try:
        yield
    except errors.KafkaNotifyError as error:
        raise ListenFailure(str(error)) from error
