# SPDX-License-Identifier: Apache-2.0
from typing import Any

def encode_plain(message: Any, context: Any, /) -> bytes | None: ...
