# SPDX-License-Identifier: Apache-2.0
"""Touches Kafka: the drivers, behind the protocols of ``drivers.base``."""
