# SPDX-License-Identifier: Apache-2.0
from typing import Any

def encode_plain(message: dict[str, Any], context: dict[str, Any], /) -> bytes | None: ...
