# SPDX-License-Identifier: Apache-2.0
"""Where notifications go: the notify drivers, named as oslo.messaging's."""
