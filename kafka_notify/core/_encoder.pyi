# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable, Mapping
from typing import Any

_Encode = Callable[[Mapping[str, Any], dict[str, Any]], bytes]

def encode_plain(message: Any, context: Any, /) -> bytes | None: ...
def encoder(otherwise: _Encode, /) -> _Encode: ...
