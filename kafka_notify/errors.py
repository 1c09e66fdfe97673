# SPDX-License-Identifier: Apache-2.0
"""Every error that kafka-notify raises, as one tree.

::

    KafkaNotifyError
      ConfigurationError (ValueError)
        InvalidTransportURL   InvalidName    InvalidTarget
        DriverNotFound        MissingExtra   InvalidEndpoint
      BrokerError             .code .retriable
        BrokerUnavailable     BrokerRefused
      DeliveryError           .topic .message_id .attempts
        DeliveryTimeout       DeliveryRefused     SendBufferFull
        OutboxError
          OutboxFull
      SerializationError (ValueError)   .path
      UndecodableRecord (ValueError)
      ConsumeError
        CommitFailed          AssignmentLost      ConsumerFenced
          CommitUnanswered    RecordsGone         .partitions
      ClosedError (RuntimeError)

No message holds a password: URLs appear in their redacted form only.
"""

from __future__ import annotations

from collections.abc import Sequence


class KafkaNotifyError(Exception):
    """Base of all errors of this library; catch it to catch them all."""


class ConfigurationError(KafkaNotifyError, ValueError):
    """Raised when something the user wrote cannot work; the message says what to change."""


class InvalidTransportURL(ConfigurationError):
    """Raised by the URL parser; ``url`` is the redacted text, safe to log."""

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(f"transport URL {url!r}: {problem}")
        self.url = url
        self.problem = problem


class InvalidName(ConfigurationError):
    """Raised before anything is sent when Kafka would refuse a topic or group name."""


class InvalidTarget(ConfigurationError):
    """Raised when a target lacks what sending or listening needs (its topic)."""


class DriverNotFound(ConfigurationError):
    """Raised when no installed driver has the asked name; the message lists those there are."""


class MissingExtra(ConfigurationError):
    """Raised when an optional dependency is not installed; names the extra to install."""

    def __init__(self, extra: str, *, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the [{extra}] extra, which is not installed: "
            f"pip install 'kafka-notify[{extra}]'"
        )
        self.extra = extra


class InvalidEndpoint(ConfigurationError):
    """Raised when an endpoint can never be called: it has no method named after a priority."""


class BrokerError(KafkaNotifyError):
    """Raised when Kafka, or the way to it, failed; ``code`` is the client's error name."""

    def __init__(self, message: str, *, code: str = "", retriable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retriable = retriable


class BrokerUnavailable(BrokerError):
    """Raised when no broker answered within the bound; it may come back: try again later."""

    def __init__(self, message: str, *, code: str = "", retriable: bool = True) -> None:
        super().__init__(message, code=code, retriable=retriable)


class BrokerRefused(BrokerError):
    """Raised when a broker answered no (credentials, ACL, TLS, policy); ask the operator."""


class DeliveryError(KafkaNotifyError):
    """Raised when a notification did not reach Kafka; the record is in no log."""

    def __init__(
        self,
        message: str,
        *,
        topic: str = "",
        message_id: str | None = None,
        attempts: int = 1,
        retriable: bool = False,
    ) -> None:
        super().__init__(message)
        self.topic = topic
        self.message_id = message_id
        self.attempts = attempts
        self.retriable = retriable


class DeliveryTimeout(DeliveryError):
    """Raised when no broker confirmed the record in time; it may be in the log all the same."""


class DeliveryRefused(DeliveryError):
    """Raised when Kafka will never take this record (too large, unknown topic, no permission)."""


class SendBufferFull(DeliveryError):
    """Raised when the send buffer stayed full for ``send_block_timeout``; nothing was queued."""


class OutboxError(DeliveryError):
    """Raised when the outbox cannot take a notification; the message names file and cause."""


class OutboxFull(OutboxError):
    """Raised when ``outbox_max_bytes`` or the disk leave no room; nothing was stored."""


class SerializationError(KafkaNotifyError, ValueError):
    """Raised by sending when JSON cannot hold a value; ``path`` says where it is."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class UndecodableRecord(KafkaNotifyError, ValueError):
    """Raised by the decoder for a record that is no notification; costs that record only."""


class ConsumeError(KafkaNotifyError):
    """Base of what can go wrong on the receiving side."""


class CommitFailed(ConsumeError):
    """Raised when offsets were not stored; ``retriable`` tells whether to ask again."""

    def __init__(self, message: str, *, code: str = "", retriable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retriable = retriable


class CommitUnanswered(CommitFailed):
    """Raised when a commit has had no answer in time; it may be stored all the same, or later."""


class AssignmentLost(ConsumeError):
    """Raised by a commit for partitions that belong to another member by now.

    ``unknown`` tells that an earlier try of the client's own may have stored the offsets.
    """

    def __init__(self, message: str, *, unknown: bool = False) -> None:
        super().__init__(message)
        self.unknown = unknown


class ConsumerFenced(ConsumeError):
    """Raised when a consumer client has ended for good and must be made anew."""

    def __init__(
        self, message: str, *, code: str = "", unsupported_protocol: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.unsupported_protocol = unsupported_protocol


class RecordsGone(ConsumeError):
    """Raised by a reader when Kafka has removed records before it read them, or their topic.

    ``partitions`` are those concerned; read on from where they start now.
    """

    def __init__(self, message: str, *, partitions: Sequence[tuple[str, int]]) -> None:
        super().__init__(message)
        self.partitions = tuple(partitions)


class ClosedError(KafkaNotifyError, RuntimeError):
    """Raised when a transport is used after it was closed; make a new one."""
