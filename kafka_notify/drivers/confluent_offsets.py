# SPDX-License-Identifier: Apache-2.0
"""Questions about offsets, by a consumer's own client: over no connection but its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaException,
    TopicPartition,
)
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential

from kafka_notify.core.message import Partition
from kafka_notify.drivers.confluent_errors import SETTLING, Problems
from kafka_notify.native import time

_LEAST_S = 0.1


class Offsets:
    """Asks; repeats what a cluster that settles refuses. Threads: whoever owns the client."""

    def __init__(
        self, client: Consumer, *, problems: Problems, brings_records: Callable[[], bool]
    ) -> None:
        """``brings_records`` tells whether a poll may return a record, which would be lost."""
        self._client = client
        self._problems = problems
        self._brings_records = brings_records

    def starts(self, partitions: Sequence[Partition], timeout_s: float) -> dict[Partition, int]:
        """Return the first offset of each partition. Raises BrokerUnavailable, BrokerRefused."""
        return self._listed(partitions, OFFSET_BEGINNING, timeout_s=timeout_s)

    def ends(self, partitions: Sequence[Partition], timeout_s: float) -> dict[Partition, int]:
        """Return the offset of each partition's next record. Raises as ``starts``."""
        return self._listed(partitions, OFFSET_END, timeout_s=timeout_s)

    def _listed(
        self, partitions: Sequence[Partition], which: int, *, timeout_s: float
    ) -> dict[Partition, int]:
        # ListOffsets takes -1 and -2 in a timestamp's place (KIP-79); one request per leader,
        # where the watermark call sends one per partition.
        asked = [TopicPartition(topic, number, which) for topic, number in partitions]
        found = self._ask(
            lambda left_s: self._client.offsets_for_times(asked, left_s),
            partitions,
            timeout_s=timeout_s,
            doing="reading where partitions start or end",
        )
        return {where: one.offset for where, one in found.items()}

    def committed(
        self, partitions: Sequence[Partition], timeout_s: float, *, group: str
    ) -> dict[Partition, TopicPartition]:
        """Return what the client's group has committed. Raises as ``starts``."""
        return self._ask(
            lambda left_s: self._client.committed(topic_partitions(partitions), left_s),
            partitions,
            timeout_s=timeout_s,
            doing=f"reading the offsets of group {group}",
        )

    def _ask(
        self,
        request: Callable[[float], list[TopicPartition]],
        partitions: Sequence[Partition],
        *,
        timeout_s: float,
        doing: str,
    ) -> dict[Partition, TopicPartition]:
        if not partitions:
            return {}

        def attempt() -> dict[Partition, TopicPartition]:
            found = {}
            for partition in request(max(_LEAST_S, timeout_s)):
                if partition.error is not None:
                    raise KafkaException(partition.error)
                found[Partition(partition.topic, partition.partition)] = partition
            return found

        retrying = Retrying(
            stop=stop_after_delay(timeout_s),
            wait=wait_exponential(multiplier=0.05, max=0.5),
            retry=retry_if_exception(_is_settling),
            reraise=True,
            sleep=time.sleep,
        )
        try:
            found = retrying(attempt)
        except KafkaException as error:
            if not self._brings_records():
                self._client.poll(0)  # serves the error callback, which knows why
            raise self._problems.explain(error.args[0], doing=doing) from error
        self._problems.connected_or_failed.set()
        return found


def topic_partitions(partitions: Iterable[Partition]) -> list[TopicPartition]:
    """Return them as the client has them."""
    return [TopicPartition(topic, number) for topic, number in partitions]


def _is_settling(error: BaseException) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() in SETTLING
