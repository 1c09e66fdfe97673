# SPDX-License-Identifier: Apache-2.0
"""Every option: name, default, range, unit and help, each in one row.

Where a value comes from (conf, URL, default) is not known here. Rows marked ``upstream`` have the
names, types and defaults of oslo.messaging's Kafka driver.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kafka_notify.core.option import Option, options_of, row
from kafka_notify.core.recordkey import RecordKey
from kafka_notify.errors import ConfigurationError

MAX_RECORD_BYTES = 1_000_000_000
"""librdkafka's own limit on message.max.bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierSettings:
    """What ``[oslo_messaging_notifications]`` says about notifiers; upstream owns the section."""

    driver: tuple[str, ...] | None = None
    topics: tuple[str, ...] = ("notifications",)
    retry: int = -1
    routing_config: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All options of one transport, validated; secrets are left out of the repr."""

    # --- connection
    security_protocol: str = row(
        "PLAINTEXT",
        "How to talk to the brokers.",
        choices={
            "PLAINTEXT": "in the clear, without a login",
            "SASL_PLAINTEXT": "in the clear, with a login",
            "SSL": "over TLS; a client certificate may stand for the login",
            "SASL_SSL": "over TLS, with a login",
        },
        upstream=True,
        librdkafka="security.protocol",
    )
    sasl_mechanism: str = row(
        "PLAIN",
        "SASL mechanism, such as PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; user name and password "
        "come from the transport URL.",
        upstream=True,
        librdkafka="sasl.mechanism",
    )
    ssl_cafile: str = row(
        "",
        "PEM file of the authorities that signed the brokers' certificates; empty means those "
        "of the system.",
        upstream=True,
        librdkafka="ssl.ca.location",
    )
    ssl_client_cert_file: str = row(
        "",
        "PEM file of the client's certificate.",
        upstream=True,
        librdkafka="ssl.certificate.location",
    )
    ssl_client_key_file: str = row(
        "", "PEM file of the client's key.", upstream=True, librdkafka="ssl.key.location"
    )
    ssl_client_key_password: str = row(
        "",
        "Password of the client's key.",
        secret=True,
        upstream=True,
        librdkafka="ssl.key.password",
    )
    connect_timeout: float = row(
        10.0,
        "How long a first answer of the cluster may take before it counts as unreachable.",
        unit="seconds",
        minimum=0.1,
        maximum=300,
    )
    close_timeout: float = row(
        30.0,
        "How long closing a transport, or leaving the process, waits for records that are still "
        "on their way; what is left then is named in the log.",
        unit="seconds",
        minimum=0,
        maximum=3600,
    )
    topic_partitions: int = row(
        -1,
        "Partitions of a topic that a listener creates; -1 leaves it to the broker.",
        minimum=-1,
        maximum=100_000,
    )
    topic_replication_factor: int = row(
        -1,
        "Replicas of a topic that a listener creates; -1 leaves it to the broker.",
        minimum=-1,
        maximum=1000,
    )

    # --- sending
    delivery: str = row(
        "report",
        "When a send returns.",
        choices={
            "report": "at once; each record's delivery report is counted, a failed one logged",
            "confirm": "when all in-sync replicas have the record; else it raises",
        },
    )
    delivery_timeout: float = row(
        300.0,
        "With delivery=report: how long a record may wait for its broker before its report says "
        "that it failed.",
        unit="seconds",
        minimum=1,
        maximum=2_000_000,
        librdkafka="message.timeout.ms",
    )
    unreachable_timeout: float = row(
        300.0,
        "With delivery=report: how long no broker may have been reachable before a send raises at "
        "once instead of queueing what cannot be delivered. Refused logins and TLS count at once. "
        "Seconds after a broker is back, sends are taken again.",
        unit="seconds",
        minimum=0,
        maximum=2_000_000,
    )
    confirm_timeout: float = row(
        30.0,
        "With delivery=confirm: how long one attempt may take; the notifier's retry says how "
        "many attempts there are.",
        unit="seconds",
        minimum=1,
        maximum=2_000_000,
        librdkafka="message.timeout.ms",
    )
    record_key: str = row(
        "publisher_id",
        "What orders notifications: those of one key stay in order and share a partition. "
        "'none', 'publisher_id', 'event_type', or a path into the notification such as "
        "payload/instance_id or context/project_id ('/' separates); where the path leads nowhere "
        "the publisher_id stands in. Records without a key are dispatched in no particular order.",
    )
    context_fields: tuple[str, ...] = row(
        (),
        "Fields of a dict context that are sent besides those which oslo.context takes for safe; "
        "everything else in such a dict, tokens above all, is left out.",
    )
    max_record_bytes: int = row(
        1_000_000,
        "The largest record, key and headers included; larger ones raise DeliveryRefused.",
        unit="bytes",
        minimum=1000,
        maximum=MAX_RECORD_BYTES,
        librdkafka="message.max.bytes",
    )
    send_buffer_records: int = row(
        100_000,
        "How many records may wait for their delivery report.",
        minimum=1,
        maximum=10_000_000,
        librdkafka="queue.buffering.max.messages",
    )
    send_buffer_bytes: int = row(
        67_108_864,
        "How many bytes of records may wait for their delivery report.",
        unit="bytes",
        minimum=1024,
        maximum=2_147_483_647,
    )
    send_block_timeout: float = row(
        10.0,
        "How long a send waits for room in a full buffer before it raises SendBufferFull.",
        unit="seconds",
        minimum=0,
        maximum=3600,
    )
    producer_batch_timeout: float = row(
        0.0,
        "How long records wait for others to share a request with.",
        unit="seconds",
        minimum=0,
        maximum=900,
        upstream=True,
        librdkafka="linger.ms",
    )
    producer_batch_size: int = row(
        16384,
        "The most records in one batch.",
        minimum=1,
        maximum=1_000_000,
        upstream=True,
        librdkafka="batch.num.messages",
    )
    compression_codec: str = row(
        "none",
        "Compression of what is sent.",
        choices={
            "none": "no compression",
            "gzip": "slow and small",
            "snappy": "quick",
            "lz4": "quick and smaller",
            "zstd": "the smallest for its time",
        },
        upstream=True,
        librdkafka="compression.codec",
    )

    # --- keeping what cannot be sent now
    outbox: str = row(
        "off",
        "What happens to notifications that Kafka does not take now. Those in the outbox are sent "
        "in their order as soon as Kafka takes them, by this process or by the next one.",
        choices={
            "off": "they wait in memory, within send_buffer_records and send_buffer_bytes",
            "on_failure": "what does not get through within some two seconds goes to the outbox; "
            "kill -9 of the process loses what is younger",
            "always": "everything goes through the outbox: a send returns when it is on disk, and "
            "kill -9 of the process loses nothing",
        },
    )
    spool_dir: str = row(
        "",
        "Folder of the outbox, on a local disk: in it a folder for each cluster, in that a file "
        "for each process. Empty means kafka-notify below $XDG_STATE_HOME, or ~/.local/state.",
    )
    outbox_max_bytes: int = row(
        1_073_741_824,
        "The most bytes that a process's outbox takes; a send beyond it raises OutboxFull.",
        unit="bytes",
        minimum=65_536,
        maximum=1_000_000_000_000,
    )

    # --- receiving
    consumer_group: str = row(
        "oslo_messaging_consumer",
        "Consumer group of listeners that have no pool.",
        upstream=True,
        librdkafka="group.id",
    )
    group_protocol: str = row(
        "auto",
        "How the members of a consumer group agree on their partitions.",
        choices={
            "auto": "consumer where the cluster has it, classic otherwise",
            "consumer": "the protocol of KIP-848: Kafka 4, or 3.7 with it switched on",
            "classic": "the older one, with the range assignor",
        },
        librdkafka="group.protocol",
    )
    group_start: str = row(
        "end",
        "Where a consumer group begins that has no offsets in a topic.",
        choices={
            "end": "with what comes after its first listener started",
            "beginning": "with all that the topic still holds",
        },
    )
    start_timeout: float = row(
        15.0,
        "How long start() of a listener may take.",
        unit="seconds",
        minimum=1,
        maximum=600,
    )
    topic_refresh: float = row(
        5.0,
        "How often a listener looks for new topics and partitions.",
        unit="seconds",
        minimum=0.1,
        maximum=3600,
        librdkafka="topic.metadata.refresh.interval.ms",
    )
    commit_policy: str = row(
        "before_dispatch",
        "When a notification counts as received, and so what a crash of its listener costs.",
        choices={
            "before_dispatch": "at most once: committed, then dispatched. A crash loses at most "
            "dispatch_window notifications; nothing comes twice",
            "after_dispatch": "at least once: committed when its endpoints are done. A crash "
            "loses nothing; what was not committed yet comes again, in order",
            "share": "at least once, without order, from a share group (Kafka 4.2; a preview in "
            "librdkafka): more listeners than partitions share the work",
        },
    )
    dispatch_window: int = row(
        500,
        "The most records that are taken and not yet through their endpoints. With "
        "commit_policy=before_dispatch they are committed: this is what a crash can lose. A "
        "larger window only helps endpoints that are very quick.",
        minimum=1,
        maximum=1_000_000,
    )
    drain_timeout: float = row(
        30.0,
        "How long a listener that loses partitions, or stops, waits for endpoints that still run; "
        "after that it lets go and says what it left behind.",
        unit="seconds",
        minimum=0,
        maximum=3600,
    )
    requeue_limit: int = row(
        10,
        "How many times a notification is handed to its endpoints that asks to be requeued; then "
        "it goes to the dead-letter topic. -1: for ever.",
        minimum=-1,
        maximum=1_000_000,
    )
    requeue_wait: float = row(
        0.1,
        "How long a notification waits after it was requeued first; each time twice as long.",
        unit="seconds",
        minimum=0.001,
        maximum=3600,
    )
    requeue_wait_max: float = row(
        30.0,
        "The longest that a requeued notification waits.",
        unit="seconds",
        minimum=0.001,
        maximum=86_400,
    )
    dead_letter: bool = row(
        True,
        "Whether records that cannot be decoded, or were requeued too often, are written to the "
        "dead-letter topic, which is named as their own and .dlq. Otherwise they are only logged.",
    )
    deduplicate: int = row(
        0,
        "How many message_ids a listener remembers, to skip what a sender sent twice; 0: none.",
        minimum=0,
        maximum=100_000_000,
    )
    stuck_after: float = row(
        60.0,
        "How long an endpoint may take for one notification before it is reported as stuck.",
        unit="seconds",
        minimum=0.1,
        maximum=86_400,
    )
    max_poll_records: int = row(
        500,
        "The most records that one poll takes, and one commit covers.",
        minimum=1,
        maximum=1_000_000,
        upstream=True,
    )
    kafka_max_fetch_bytes: int = row(
        1_048_576,
        "The most bytes of one partition in one fetch.",
        unit="bytes",
        minimum=1,
        maximum=1_000_000_000,
        upstream=True,
        librdkafka="max.partition.fetch.bytes",
    )
    kafka_consumer_timeout: float = row(
        1.0,
        "How long one poll waits for a first record before the listener looks after its other "
        "duties. It delays nothing: a record that is there is taken at once.",
        unit="seconds",
        minimum=0.01,
        maximum=60,
        upstream=True,
    )
    enable_auto_commit: bool = row(
        False,
        "Refused when true: offsets committed behind the listener's back lose notifications.",
        upstream=True,
    )
    workers: int = row(
        0,
        "How many endpoints may run side by side in one listener; 0: executor_thread_pool_size.",
        minimum=0,
        maximum=10_000,
    )
    executor_thread_pool_size: int = row(
        64,
        "How many endpoints may run side by side in one listener, unless the option workers says.",
        group="DEFAULT",
        minimum=1,
        maximum=10_000,
        upstream=True,
    )

    # --- the client beneath
    client_options: dict[str, str] = row(
        {},
        "Any other option of librdkafka as name:value pairs. Applied last, over everything else, "
        "and logged.",
    )

    notifications: NotifierSettings = NotifierSettings()

    def __post_init__(self) -> None:
        """Raise one ConfigurationError that names everything that is wrong."""
        problems = [problem for check in (self._ranges, self._combinations) for problem in check()]
        if problems:
            raise ConfigurationError("; ".join(problems))

    def _ranges(self) -> list[str]:
        problems = []
        for name, option in OPTIONS.items():
            try:
                option.check(getattr(self, name))
            except ConfigurationError as error:
                problems.append(str(error))
        return problems

    def _combinations(self) -> list[str]:
        problems = []
        if self.enable_auto_commit:
            problems.append(
                "option enable_auto_commit: true is refused, since it loses notifications; remove "
                "it (offsets are committed synchronously before the dispatch)"
            )
        if bool(self.ssl_client_cert_file) != bool(self.ssl_client_key_file):
            problems.append(
                "options ssl_client_cert_file, ssl_client_key_file: one is set without the other"
            )
        try:
            RecordKey(self.record_key)
        except ConfigurationError as error:
            problems.append(str(error))
        return problems


OPTIONS: Mapping[str, Option] = options_of(Settings)
"""Every option of Settings by name, in the order of the samples and docs."""


def parse_query(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that a URL's query overrides, parsed by their options' types.

    Raises one ConfigurationError that names every unknown option and every wrong value.
    """
    values: dict[str, Any] = {}
    problems = []
    for name, text in query.items():
        option = OPTIONS.get(name)
        if option is None:
            close = difflib.get_close_matches(name, OPTIONS, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            problems.append(
                f"the URL's option {name!r} is unknown{hint} (librdkafka's own options go into "
                "client_options=name:value)"
            )
            continue
        try:
            values[name] = option.parse(text)
        except ConfigurationError as error:
            problems.append(str(error))
    if problems:
        raise ConfigurationError("; ".join(problems))
    return values
