# SPDX-License-Identifier: Apache-2.0
"""Acts: threads, clocks and user code. Reaches Kafka only through ``drivers.base``."""
