# SPDX-License-Identifier: Apache-2.0
"""The admin client over confluent_kafka: asks for topics and makes them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from kafka_notify.drivers.confluent_client import leak
from kafka_notify.drivers.confluent_errors import Problems
from kafka_notify.errors import BrokerError, BrokerUnavailable, ClosedError

_LEAST_S = 0.1
_LOOK_AGAIN_S = 0.05


class KafkaAdmin:
    """``drivers.base.AdminClient`` over one librdkafka client. Threads: any."""

    def __init__(self, client: AdminClient, *, address: str, problems: Problems) -> None:
        self._maybe_client: AdminClient | None = client
        self._address = address
        self._problems = problems

    @property
    def _client(self) -> AdminClient:
        if self._maybe_client is None:
            raise ClosedError(f"the admin client of {self._address} is closed")
        return self._maybe_client

    def partition_counts(self, topics: Iterable[str], timeout_s: float) -> dict[str, int]:
        """Return the partitions of those topics that exist; see ``AdminClient``."""
        metadata = self._metadata(timeout_s)
        counts = {}
        for name in topics:
            topic = metadata.topics.get(name)
            if topic is not None and topic.error is None and topic.partitions:
                counts[name] = len(topic.partitions)
        return counts

    def _metadata(self, timeout_s: float) -> Any:
        # The list of all topics: asking for one by name may create it.
        client = self._client
        try:
            metadata = client.list_topics(timeout=max(_LEAST_S, timeout_s))
        except KafkaException as error:
            client.poll(0)  # serves the error callback, which knows why
            raise self._problems.explain(error.args[0], doing="asking for topics") from error
        self._problems.forget()
        return metadata

    def create_topics(
        self,
        topics: Sequence[str],
        *,
        partitions: int,
        replication_factor: int,
        timeout_s: float,
    ) -> dict[str, BrokerError | None]:
        """Create topics and wait until they have leaders; see ``AdminClient.create_topics``."""
        deadline = time.monotonic() + timeout_s
        wanted = [
            NewTopic(name, num_partitions=partitions, replication_factor=replication_factor)
            for name in dict.fromkeys(topics)
        ]
        if not wanted:
            return {}
        timeout_s = max(_LEAST_S, timeout_s)
        futures = self._client.create_topics(
            wanted, request_timeout=timeout_s, operation_timeout=timeout_s
        )
        outcomes = {name: self._outcome(name, future) for name, future in futures.items()}
        made = {name for name, problem in outcomes.items() if problem is None}
        for name in self._without_leaders(made, deadline):
            outcomes[name] = BrokerUnavailable(
                f"topic {name} was created at {self._address}, but had no leader for all its "
                f"partitions within {timeout_s:g} s"
            )
        return outcomes

    def _outcome(self, name: str, future: Future[None]) -> BrokerError | None:
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return None
            self._client.poll(0)
            return self._problems.explain(error.args[0], doing=f"creating topic {name}")
        return None

    def _without_leaders(self, names: set[str], deadline: float) -> set[str]:
        """Wait until the deadline for leaders; return the topics that lack one still."""
        while names:
            left_s = deadline - time.monotonic()
            try:
                metadata = self._metadata(left_s)
            except BrokerError:
                return names
            names = {name for name in names if not _is_led(metadata, name)}
            if not names or left_s <= 0:
                break
            time.sleep(_LOOK_AGAIN_S)
        return names

    def abandon(self) -> None:
        """Forget the client in a child of fork; see ``leak``."""
        client, self._maybe_client = self._maybe_client, None
        leak(client)

    def close(self) -> None:
        """Release the client."""
        self._maybe_client = None


def _is_led(metadata: Any, name: str) -> bool:
    topic = metadata.topics.get(name)
    return (
        topic is not None
        and topic.error is None
        and bool(topic.partitions)
        and all(part.error is None and part.leader >= 0 for part in topic.partitions.values())
    )
