# SPDX-License-Identifier: Apache-2.0
"""kafka-notify as a transport driver of oslo.messaging: ``kafka-notify://`` in a transport URL."""
