# SPDX-License-Identifier: Apache-2.0
"""The admin client over confluent_kafka: asks for topics and makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import NewTopic
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential

from kafka_notify.core.message import Partition
from kafka_notify.drivers.base import OnProblem
from kafka_notify.drivers.confluent_client import leak, make
from kafka_notify.drivers.confluent_config import Config
from kafka_notify.drivers.confluent_errors import SETTLING, Problems
from kafka_notify.errors import BrokerError, BrokerRefused, BrokerUnavailable
from kafka_notify.native import threading, time

_NO_MEMBERS = (None, ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)
_LEAST_S = 0.1
_SILENCE_S = 1.0
_LOOK_AGAIN_S = 0.05


class GroupSetting(NamedTuple):
    """What the brokers say of one setting of a group."""

    value: str
    is_default: bool
    """Whether nobody has set it, for this group or for all of a broker's."""


class KafkaAdmin:
    """``drivers.base.AdminClient``; each call has a librdkafka client of its own. Threads: any.

    An idle client nobody polls would hoard what it says of its connections, and admin calls are
    rare: about 0.05 s each for connecting. Whoever watches a group asks again and again, and
    keeps his until ``close``.
    """

    def __init__(self, config: Config, *, address: str, on_problem: OnProblem) -> None:
        self._config = config
        self._address = address
        self._on_problem = on_problem
        self._watching: _Connection | None = None

    def _connect(self) -> _Connection:
        problems = Problems(address=self._address, on_problem=self._on_problem)
        return _Connection(make(AdminClient, self._config, problems=problems), problems)

    def partition_counts(self, topics: Iterable[str], timeout_s: float) -> dict[str, int]:
        """Return the partitions of those topics that exist; see ``AdminClient``."""
        found = self._connect().metadata(timeout_s).topics
        return {
            name: len(found[name].partitions)
            for name in topics
            if name in found and found[name].error is None and found[name].partitions
        }

    def create_topics(
        self,
        topics: Sequence[str],
        *,
        partitions: int,
        replication_factor: int,
        timeout_s: float,
        config: Mapping[str, str] | None = None,
    ) -> dict[str, BrokerError | None]:
        """Create topics and wait until they have leaders; see ``AdminClient.create_topics``."""
        deadline = time.monotonic() + timeout_s
        wanted = [
            NewTopic(
                name,
                num_partitions=partitions,
                replication_factor=replication_factor,
                config=dict(config or {}),
            )
            for name in dict.fromkeys(topics)
        ]
        if not wanted:
            return {}
        timeout_s = max(_LEAST_S, timeout_s)
        connection = self._connect()
        outcomes = connection.create(wanted, timeout_s)
        made = {name for name, problem in outcomes.items() if problem is None}
        for name in connection.without_leaders(made, deadline):
            outcomes[name] = BrokerUnavailable(
                f"topic {name} was created at {self._address}, but had no leader for all its "
                f"partitions within {timeout_s:g} s"
            )
        return outcomes

    def topic_config(self, topic: str, name: str, timeout_s: float) -> str | None:
        """Return a topic's option; None if it may not be known; see ``AdminClient``."""
        try:
            return self._connect().topic_config(topic, name, max(_LEAST_S, timeout_s))
        except BrokerRefused:
            return None

    def group_has_members(self, group: str, timeout_s: float) -> bool:
        """Tell whether a consumer group has live members; see ``AdminClient``."""
        return self._connect().group_state(group, max(_LEAST_S, timeout_s)) not in _NO_MEMBERS

    def group_is_at_rest(self, group: str, timeout_s: float) -> bool:
        """Tell whether no partition of a group is on its way; see ``AdminClient``."""
        if self._watching is None:
            self._watching = self._connect()
        state = self._watching.group_state(group, max(_LEAST_S, timeout_s))
        return bool(state == ConsumerGroupState.STABLE)

    # --- for share groups

    def group_settings(self, group: str, timeout_s: float) -> dict[str, GroupSetting]:
        """Return the settings of a group by name, whether it exists yet or not.

        What was set a moment ago may not be known to the broker that answers. Raises
        BrokerUnavailable or BrokerRefused.
        """
        return self._connect().group_settings(group, max(_LEAST_S, timeout_s))

    def set_group(self, group: str, values: Mapping[str, str], timeout_s: float) -> None:
        """Set some settings of a group, all or none; the others stay. Raises likewise."""
        self._connect().set_group(group, values, max(_LEAST_S, timeout_s))

    def end_offsets(self, topics: Iterable[str], timeout_s: float) -> dict[Partition, int]:
        """Return the offset that the next record of each partition will get. Raises likewise."""
        connection = self._connect()
        found = connection.metadata(timeout_s).topics
        partitions = [
            Partition(name, number)
            for name in topics
            if name in found and found[name].error is None
            for number in found[name].partitions
        ]
        return connection.end_offsets(partitions, max(_LEAST_S, timeout_s))

    def abandon(self) -> None:
        """Forget a watching client in a child of fork; see ``leak``."""
        watching, self._watching = self._watching, None
        leak(watching)

    def close(self) -> None:
        """Release the client that watches a group."""
        self._watching = None


class _Connection(NamedTuple):
    """One librdkafka client, and what it says."""

    client: AdminClient
    problems: Problems

    def metadata(self, timeout_s: float) -> Any:
        """Return the list of all topics: asking for one by its name may create it."""
        try:
            return self.client.list_topics(timeout=max(_LEAST_S, timeout_s))
        except KafkaException as error:
            raise self._explain(error, doing="asking for topics") from error

    def _explain(self, error: KafkaException, *, doing: str) -> BrokerError:
        self.client.poll(0)  # serves the error callback, which knows why
        return self.problems.explain(error.args[0], doing=doing)

    def create(self, wanted: list[NewTopic], timeout_s: float) -> dict[str, BrokerError | None]:
        """Create topics; return what went wrong for each."""
        futures = self.client.create_topics(
            wanted, request_timeout=timeout_s, operation_timeout=timeout_s
        )
        return {name: self._outcome(name, future, timeout_s) for name, future in futures.items()}

    def _outcome(self, name: str, future: Future[None], timeout_s: float) -> BrokerError | None:
        try:
            _result(future, timeout_s)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return None
            return self._explain(error, doing=f"creating topic {name}")
        return None

    def topic_config(self, topic: str, name: str, timeout_s: float) -> str | None:
        """Return a topic's option, None if it has no such."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        future = self.client.describe_configs([resource], request_timeout=timeout_s)[resource]
        try:
            entry = _result(future, timeout_s).get(name)
        except KafkaException as error:
            raise self._explain(error, doing=f"asking for the options of {topic}") from error
        return None if entry is None else str(entry.value)

    def group_state(self, group: str, timeout_s: float) -> ConsumerGroupState | None:
        """Return a consumer group's state; None if there is no such group.

        By the list of all groups: a request to the group's own coordinator aborts the process
        when that answers late that it is none (an assertion of librdkafka 2.16).
        """
        future = self.client.list_consumer_groups(request_timeout=timeout_s)
        try:
            found = _result(future, timeout_s)
            for listed in found.valid:
                if listed.group_id == group:
                    state: ConsumerGroupState = listed.state
                    return state
            for error in found.errors:
                raise error if isinstance(error, KafkaException) else KafkaException(error)
        except KafkaException as error:
            raise self._explain(error, doing=f"asking for the state of group {group}") from error
        return None

    def group_settings(self, group: str, timeout_s: float) -> dict[str, GroupSetting]:
        """Return the settings of a group by name."""
        resource = ConfigResource(ConfigResource.Type.GROUP, group)
        future = self.client.describe_configs([resource], request_timeout=timeout_s)[resource]
        try:
            found = _result(future, timeout_s)
        except KafkaException as error:
            raise self._explain(error, doing=f"asking for the settings of {group}") from error
        return {
            name: GroupSetting(str(entry.value), bool(entry.is_default))
            for name, entry in found.items()
        }

    def set_group(self, group: str, values: Mapping[str, str], timeout_s: float) -> None:
        """Set some settings of a group, all or none."""
        resource = ConfigResource(
            ConfigResource.Type.GROUP,
            group,
            incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in values.items()
            ],
        )
        [future] = self.client.incremental_alter_configs(
            [resource], request_timeout=timeout_s
        ).values()
        try:
            _result(future, timeout_s)
        except KafkaException as error:
            names = ", ".join(values)
            raise self._explain(error, doing=f"setting {names} of {group}") from error

    def end_offsets(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Return the offset that the next record of each partition will get."""
        if not partitions:
            return {}
        retrying = Retrying(
            stop=stop_after_delay(timeout_s),
            wait=wait_exponential(multiplier=_LOOK_AGAIN_S, max=0.5),
            retry=retry_if_exception(_is_settling),
            reraise=True,
            sleep=time.sleep,
        )
        try:
            return retrying(self._list_ends, partitions, timeout_s)
        except KafkaException as error:
            raise self._explain(error, doing="reading where partitions end") from error

    def _list_ends(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        end = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        futures = self.client.list_offsets(
            {TopicPartition(topic, number): end for topic, number in partitions},
            request_timeout=timeout_s,
        )
        return {
            Partition(where.topic, where.partition): _result(future, timeout_s).offset
            for where, future in futures.items()
        }

    def without_leaders(self, names: set[str], deadline: float) -> set[str]:
        """Wait until the deadline for leaders; return the topics that lack one still."""
        while names:
            left_s = deadline - time.monotonic()
            try:
                found = self.metadata(left_s).topics
            except BrokerError:
                return names
            names = {name for name in names if not _is_led(found.get(name))}
            if left_s <= 0:
                break
            if names:
                time.sleep(_LOOK_AGAIN_S)
        return names


def _result(future: Future[Any], timeout_s: float) -> Any:
    """Return a future's result; the request's own time-out bounds it, and ours its silence.

    Not ``future.result()`` alone: under eventlet that waits on a green lock, which the client's
    thread must not touch.
    """
    done = threading.Event()
    future.add_done_callback(lambda _future: done.set())
    if not done.wait(timeout_s + _SILENCE_S):
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    return future.result()


def _is_settling(error: BaseException) -> bool:
    """Tell whether it passes; _NOENT: no leaders are known yet of topics that were just made."""
    settling = (*SETTLING, KafkaError._NOENT)
    return isinstance(error, KafkaException) and error.args[0].code() in settling


def _is_led(topic: Any) -> bool:
    return (
        topic is not None
        and topic.error is None
        and bool(topic.partitions)
        and all(part.error is None and part.leader >= 0 for part in topic.partitions.values())
    )
