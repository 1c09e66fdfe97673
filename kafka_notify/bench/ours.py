# SPDX-License-Identifier: Apache-2.0
"""Measurements of kafka-notify itself: ``python -m kafka_notify.bench.ours MEASURE …``."""

from __future__ import annotations

from kafka_notify.bench.child import main
from kafka_notify.bench.ours_latency import latency
from kafka_notify.bench.ours_receive import delays, first_received, pausing, receive
from kafka_notify.bench.ours_send import first_sent, paced, send, send_confirmed, send_receive

MEASURES = {
    "delays": delays,
    "first_received": first_received,
    "first_sent": first_sent,
    "latency": latency,
    "paced": paced,
    "pausing": pausing,
    "receive": receive,
    "send": send,
    "send_confirmed": send_confirmed,
    "send_receive": send_receive,
}

if __name__ == "__main__":
    main(MEASURES)
