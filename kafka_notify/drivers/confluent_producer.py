# SPDX-License-Identifier: Apache-2.0
"""The producer over confluent_kafka: queues records, and has each reported on exactly once.

Retrying, spooling and counting are not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from kafka_notify.drivers.base import OnReport
from kafka_notify.drivers.confluent_client import leak
from kafka_notify.drivers.confluent_errors import Problems, delivery_error
from kafka_notify.errors import ClosedError, SendBufferFull

_LAST_REPORTS_S = 1.0


class KafkaProducer:
    """``drivers.base.ProducerClient`` over one librdkafka producer. Threads: any."""

    def __init__(
        self, client: Producer, *, address: str, problems: Problems, on_report: OnReport
    ) -> None:
        self._client: Producer | None = client
        self._address = address
        self._problems = problems
        self._on_report = on_report

    def send(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        token: Any = None,
    ) -> None:
        """Queue one record; see ``ProducerClient.send``."""
        client = self._client
        if client is None:
            raise ClosedError(f"the producer of {self._address} is closed")
        report = partial(self._report, token)
        try:
            if headers:
                client.produce(topic, value, key, on_delivery=report, headers=list(headers))
            else:
                client.produce(topic, value, key, on_delivery=report)
        except BufferError as error:
            raise SendBufferFull(
                f"topic {topic}: the send buffer is full (options send_buffer_records and "
                f"send_buffer_bytes) while {self._address} takes no more",
                topic=topic,
                retriable=True,
            ) from error
        except KafkaException as error:
            raise delivery_error(
                error.args[0], topic=topic, address=self._address, cause=self._problems.last
            ) from error

    def _report(self, token: Any, error: KafkaError | None, message: Message) -> None:
        topic = message.topic() or ""
        partition = message.partition()
        offset = message.offset()
        failure = None
        if error is None:
            self._problems.forget()
        else:
            failure = delivery_error(
                error, topic=topic, address=self._address, cause=self._problems.last
            )
        self._on_report(
            token,
            topic,
            -1 if partition is None else partition,
            -1 if offset is None else offset,
            failure,
        )

    def poll(self, timeout_s: float) -> None:
        """Serve delivery reports; wait at most ``timeout_s`` for a first one."""
        if self._client is not None:
            self._client.poll(timeout_s)

    def pending(self) -> int:
        """Return how many records are not reported on yet."""
        return 0 if self._client is None else len(self._client)

    def flush(self, timeout_s: float) -> int:
        """Wait until all is reported on, at most ``timeout_s``; return how many are left."""
        return 0 if self._client is None else self._client.flush(timeout_s)

    def purge(self) -> None:
        """Give up all that is queued; the next ``poll`` reports on it."""
        if self._client is not None:
            self._client.purge(in_queue=True, in_flight=True, blocking=False)

    def abandon(self) -> None:
        """Forget the client in a child of fork; see ``leak``."""
        client, self._client = self._client, None
        leak(client)

    def close(self) -> None:
        """Release the client; what was not flushed is reported on as given up."""
        client, self._client = self._client, None
        if client is not None:
            client.purge(in_queue=True, in_flight=True, blocking=False)
            client.flush(_LAST_REPORTS_S)
