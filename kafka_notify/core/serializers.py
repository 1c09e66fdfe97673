# SPDX-License-Identifier: Apache-2.0
"""Serializers: what users put between their objects and the notification, as upstream's.

They see entities and contexts, never records or JSON text.
"""

from __future__ import annotations

import abc
from typing import Any

from kafka_notify.core.primitive import instances_to_primitive
from kafka_notify.errors import SerializationError


class Serializer(abc.ABC):
    """The contract of oslo.messaging's Serializer; subclass it for objects of your own."""

    @abc.abstractmethod
    def serialize_entity(self, ctxt: Any, entity: Any) -> Any:
        """Return a payload in a form that JSON has."""

    @abc.abstractmethod
    def deserialize_entity(self, ctxt: Any, entity: Any) -> Any:
        """Return the payload that an endpoint gets."""

    @abc.abstractmethod
    def serialize_context(self, ctxt: Any) -> Any:
        """Return a context as a dict, or as an object with ``to_dict()``."""

    @abc.abstractmethod
    def deserialize_context(self, ctxt: Any) -> Any:
        """Return the context that an endpoint gets."""


class NoOpSerializer(Serializer):
    """Change nothing: the default."""

    def serialize_entity(self, ctxt: Any, entity: Any) -> Any:
        """Return the entity itself."""
        return entity

    def deserialize_entity(self, ctxt: Any, entity: Any) -> Any:
        """Return the entity itself."""
        return entity

    def serialize_context(self, ctxt: Any) -> Any:
        """Return the context itself."""
        return ctxt

    def deserialize_context(self, ctxt: Any) -> Any:
        """Return the context itself."""
        return ctxt


class JsonPayloadSerializer(NoOpSerializer):
    """Turn payloads of objects into JSON's forms, objects as their attributes.

    Raises SerializationError for what has no such form.
    """

    def serialize_entity(self, ctxt: Any, entity: Any) -> Any:
        """Return the payload as dicts, lists, texts and numbers."""
        try:
            return instances_to_primitive(entity)
        except (TypeError, ValueError) as error:
            raise SerializationError(f"payload: {error}", path="payload") from error
