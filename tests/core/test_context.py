# SPDX-License-Identifier: Apache-2.0
"""Contexts: what may travel, and that tokens never do."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

from kafka_notify.core import context
from kafka_notify.core.context import UnsafeContext, context_to_dict, safe_context


class Context:
    """A request context as oslo.context's: an object that can redact itself."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def redacted_copy(self) -> Context:
        return Context(**{name: value for name, value in self.fields.items() if name != "token"})

    def to_dict(self) -> dict[str, Any]:
        return self.fields


def test_no_context() -> None:
    """None is an empty context."""
    assert safe_context(None) == {}


def test_dicts_lose_all_but_the_safe_fields() -> None:
    """Of a dict go only the fields known to be safe, and the dict itself stays as it was."""
    given = {"user_id": "u", "auth_token": "t", "service_catalog": [], "password": "p", 3: "x"}

    assert safe_context(given) == {"user_id": "u"}
    assert "auth_token" in given


def test_an_option_names_more_fields() -> None:
    """The fields that the option names go, too."""
    given = {"user_id": "u", "quota_class": "q", "auth_token": "t"}

    assert safe_context(given, ("quota_class",)) == {"user_id": "u", "quota_class": "q"}


def test_other_mappings_are_dicts_as_well() -> None:
    """A subclass of dict is no way around the redaction."""
    assert safe_context(OrderedDict(user_id="u", auth_token="t")) == {"user_id": "u"}


def test_objects_are_sent_redacted() -> None:
    """An object is sent as its redacted_copy()."""
    safe = safe_context(Context(user_id="u", token="t"))

    assert context_to_dict(safe) == {"user_id": "u"}


def test_dict_subclass_that_redacts_itself() -> None:
    """Where a dict has redacted_copy(), that one knows best."""

    class Redacting(dict[str, Any]):
        def redacted_copy(self) -> dict[str, Any]:
            return {"kept": self["kept"]}

    assert safe_context(Redacting(kept="k", user_id="u")) == {"kept": "k"}


@pytest.mark.parametrize("ctxt", [object(), "token", 3, ["token"]])
def test_what_cannot_be_made_safe(ctxt: object) -> None:
    """Anything else is refused, without being shown."""
    with pytest.raises(UnsafeContext, match=type(ctxt).__name__) as caught:
        safe_context(ctxt)

    assert "token" not in str(caught.value)


def test_serialized_contexts() -> None:
    """A serializer may give a dict, or an object with to_dict()."""
    assert context_to_dict({"a": 1}) == {"a": 1}
    assert context_to_dict(Context(a=1)) == {"a": 1}


@pytest.mark.functional
class TestOsloContext:
    """Beside the real oslo.context."""

    @pytest.fixture
    def request_context(self) -> Any:
        oslo_context = pytest.importorskip("oslo_context.context")
        return oslo_context.RequestContext(
            auth_token="S3CRET",
            service_token="S3CRET",
            user_id="u",
            user_name="un",
            project_id="p",
            domain_id="d",
            roles=["member"],
            resource_uuid="r",
            is_admin=True,
            global_request_id="req-g",
            overwrite=False,
        )

    def test_token_is_lost(self, request_context: Any) -> None:
        """Neither the context nor its dict carries a token away."""
        for ctxt in (request_context, request_context.to_dict()):
            safe = context_to_dict(safe_context(ctxt))
            assert "S3CRET" not in repr(safe)
            assert safe["request_id"] == request_context.request_id

    def test_dict_keeps_what_the_object_keeps(self, request_context: Any) -> None:
        """Of to_dict() goes exactly what redacted_copy() knows of the context."""
        redacted = request_context.redacted_copy().to_dict()

        safe = safe_context(request_context.to_dict())

        assert safe.items() <= redacted.items()
        # What the copy has besides are its constructor's defaults.
        lost = {"auth_token", "resource_uuid", "read_only", "show_deleted", "is_admin_project"}
        assert redacted.keys() - safe.keys() == lost

    def test_safe_fields_are_redacted_copys(self, request_context: Any) -> None:
        """The safe names are those that redacted_copy() hands to its constructor."""
        seen: dict[str, Any] = {}

        class Recorder(type(request_context)):  # type: ignore[misc]
            def __init__(self, **fields: Any) -> None:
                seen.update(fields)
                super().__init__(**fields, overwrite=False)

        copied = Recorder(user_id="u")
        seen.clear()
        copied.redacted_copy()

        names_of_to_dict = {
            "user", "project", "tenant", "domain", "user_domain", "project_domain", "user_identity"
        }  # fmt: skip
        assert seen.keys() | names_of_to_dict == context._SAFE_FIELDS
