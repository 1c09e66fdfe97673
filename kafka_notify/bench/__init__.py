# SPDX-License-Identifier: Apache-2.0
"""How quick it is, measured on a real Kafka: ``kafka-notify bench``, and benchmarks/ for peers.

Each measurement is a process of its own, so that CPU time and memory are that system's alone.
"""
