# SPDX-License-Identifier: Apache-2.0
"""The scenarios' fixtures, for tests beside oslo.messaging's own driver."""

from __future__ import annotations

from tests.scenarios.conftest import bare, connect, start

__all__ = ["bare", "connect", "start"]
