# SPDX-License-Identifier: Apache-2.0
"""OpenStack notifications over Apache Kafka: the notification API of oslo.messaging, and more.

Public: the names in ``__all__``, ``kafka_notify.errors``, ``kafka_notify.drivers.base``,
``kafka_notify.drivers.memory``, the entry points and the options. Importing connects to nothing
and loads neither the Kafka client nor oslo.config.
"""

from kafka_notify.core.filters import NotificationFilter
from kafka_notify.core.message import DeliveryReport, NotificationResult, Target
from kafka_notify.core.serializers import JsonPayloadSerializer, NoOpSerializer, Serializer
from kafka_notify.core.url import TransportHost
from kafka_notify.errors import (
    ClosedError,
    ConfigurationError,
    DeliveryError,
    DriverNotFound,
    InvalidTarget,
    InvalidTransportURL,
    KafkaNotifyError,
)
from kafka_notify.options import TransportURL
from kafka_notify.runtime.commits import CommitPolicy
from kafka_notify.runtime.leaving import exit_cleanly_on
from kafka_notify.runtime.listener import (
    NotificationListener,
    get_batch_notification_listener,
    get_notification_listener,
)
from kafka_notify.runtime.log_handlers import (
    LoggingErrorNotificationHandler,
    LoggingNotificationHandler,
    PublishErrorsHandler,
)
from kafka_notify.runtime.notifier import Notifier
from kafka_notify.runtime.transport import NotificationTransport, get_notification_transport

# oslo.messaging's names of our errors, so that code which catches them runs unchanged.
MessagingException = KafkaNotifyError
MessageDeliveryFailure = DeliveryError
DriverLoadFailure = DriverNotFound

__all__ = [
    "ClosedError",
    "CommitPolicy",
    "ConfigurationError",
    "DeliveryError",
    "DeliveryReport",
    "DriverLoadFailure",
    "DriverNotFound",
    "InvalidTarget",
    "InvalidTransportURL",
    "JsonPayloadSerializer",
    "KafkaNotifyError",
    "LoggingErrorNotificationHandler",
    "LoggingNotificationHandler",
    "MessageDeliveryFailure",
    "MessagingException",
    "NoOpSerializer",
    "NotificationFilter",
    "NotificationListener",
    "NotificationResult",
    "NotificationTransport",
    "Notifier",
    "PublishErrorsHandler",
    "Serializer",
    "Target",
    "TransportHost",
    "TransportURL",
    "exit_cleanly_on",
    "get_batch_notification_listener",
    "get_notification_listener",
    "get_notification_transport",
]
