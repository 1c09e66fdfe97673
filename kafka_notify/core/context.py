# SPDX-License-Identifier: Apache-2.0
"""What of a request context may travel: never a token, never a whole dict.

An object is sent as its ``redacted_copy()``; of a dict go the fields that oslo.context's
``redacted_copy()`` keeps, under the names of its ``to_dict()``, and those an option names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from kafka_notify.errors import SerializationError

_SAFE_FIELDS = frozenset(
    [
        "user_id",
        "project_id",
        "domain_id",
        "user_domain_id",
        "project_domain_id",
        "request_id",
        "roles",
        "user_name",
        "project_name",
        "domain_name",
        "user_domain_name",
        "project_domain_name",
        "service_user_id",
        "service_user_domain_id",
        "service_user_domain_name",
        "service_project_id",
        "service_project_name",
        "service_project_domain_id",
        "service_project_domain_name",
        "service_roles",
        "global_request_id",
        "system_scope",
        "is_admin",
        "user",
        "project",
        "tenant",
        "domain",
        "user_domain",
        "project_domain",
        "user_identity",
    ]
)
"""From "user" on: the older names that to_dict() gives to fields of the lines before."""


class UnsafeContext(Exception):
    """Raised for a context that cannot be made safe; the notification goes without one."""


def safe_context(ctxt: Any, extra_fields: Collection[str] = ()) -> Any:
    """Return what of ``ctxt`` may be sent: a dict, or an object with ``to_dict()``.

    Raises UnsafeContext for an object that has no redacted_copy().
    """
    if ctxt is None:
        return {}
    redacted_copy = getattr(ctxt, "redacted_copy", None)
    if callable(redacted_copy):
        return redacted_copy()
    if not isinstance(ctxt, Mapping):
        raise UnsafeContext(f"{type(ctxt).__name__} has no redacted_copy()")
    return {
        name: value for name, value in ctxt.items() if name in _SAFE_FIELDS or name in extra_fields
    }


def context_to_dict(ctxt: Any) -> dict[str, Any]:
    """Return a serialized context as the dict that the wire carries; one that is a dict as it is.

    Raises SerializationError for an object without ``to_dict()``.
    """
    if isinstance(ctxt, dict):
        return ctxt
    if ctxt is None:
        return {}
    if isinstance(ctxt, Mapping):
        return dict(ctxt)
    to_dict = getattr(ctxt, "to_dict", None)
    if not callable(to_dict):
        raise SerializationError(
            f"the context, a {type(ctxt).__name__}, is no dict and has no to_dict(); a serializer "
            "can make it one",
            path="ctxt",
        )
    return dict(to_dict())
