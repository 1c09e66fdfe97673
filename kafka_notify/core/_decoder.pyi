# SPDX-License-Identifier: Apache-2.0
from typing import Any

def decode_plain(value: Any, /) -> tuple[Any, ...] | None: ...
