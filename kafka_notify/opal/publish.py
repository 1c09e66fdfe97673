# SPDX-License-Identifier: Apache-2.0
"""Send a DataUpdate to its clients: by a server's HTTP, or written to the backbone's topic."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Sequence
from urllib import error as urllib_error
from urllib import request as urllib_request

from kafka_notify.core.events import ConnectionProblem, Event
from kafka_notify.errors import ConfigurationError, DeliveryError, DeliveryTimeout
from kafka_notify.opal.backbone import Backbone
from kafka_notify.opal.schemas import BroadcastNotification, DataUpdate
from kafka_notify.opal.topics import expand

_LONGEST_ANSWER = 2000


def post(update: DataUpdate, url: str, *, token: str | None, timeout_s: float) -> None:
    """Return when a server has taken the update; blocks at most ``timeout_s``.

    Raises ConfigurationError for a URL that is none, DeliveryTimeout when nobody answers,
    DeliveryError with what the server says when it takes it not.
    """
    headers = {"content-type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"the server's URL {url!r} begins neither http:// nor https://")
    asked = urllib_request.Request(  # noqa: S310 - checked above
        url, update.to_json().encode(), headers, method="POST"
    )
    try:
        with urllib_request.urlopen(asked, timeout=timeout_s) as answer:  # noqa: S310 - as above
            status = answer.status
            said = answer.read(_LONGEST_ANSWER)
    except urllib_error.HTTPError as error:
        with error:
            said = error.read(_LONGEST_ANSWER)
        raise DeliveryError(
            f"{url} answered {error.code}: {said.decode(errors='replace')}"
        ) from error
    except (OSError, ValueError) as error:
        raise DeliveryTimeout(
            f"{url} did not take the update: {getattr(error, 'reason', error)}", retriable=True
        ) from error
    if status != 200:
        raise DeliveryError(f"{url} answered {status}: {said.decode(errors='replace')}")


def events(update: DataUpdate) -> list[BroadcastNotification]:
    """Return the update as the events that an OPAL server would write: one for each topic.

    Its entries' topics, and those above them.
    """
    whole = DataUpdate.parse(update.to_dict())
    for entry in whole.entries:
        entry.topics = expand(entry.topics)
    topics = dict.fromkeys(each for entry in whole.entries for each in entry.topics)
    notifier_id = uuid.uuid4().hex
    return [
        BroadcastNotification(notifier_id=notifier_id, topics=[topic], data=whole.to_dict())
        for topic in topics
    ]


def write(
    found: Sequence[BroadcastNotification], url: str, channel: str, *, timeout_s: float
) -> None:
    """Return when Kafka has all the events, in their order; blocks at most ``timeout_s``.

    Raises ConfigurationError, DeliveryTimeout, DeliveryRefused.
    """
    asyncio.run(_write(found, url, channel, timeout_s))


async def _write(
    found: Sequence[BroadcastNotification], url: str, channel: str, timeout_s: float
) -> None:
    backbone = Backbone(url, close_timeout=0.0)
    heard: list[Event] = []
    backbone.transport.monitor.subscribe(heard.append)
    writing = asyncio.gather(*(backbone.publish(channel, event.to_json()) for event in found))
    try:
        await asyncio.wait_for(writing, timeout_s)
    except asyncio.TimeoutError as error:
        problems = [str(one.error) for one in heard if isinstance(one, ConnectionProblem)]
        raise DeliveryTimeout(
            f"not confirmed by {backbone.transport.address} in {timeout_s:g} s: "
            f"{(problems or ['it does not answer'])[0]}",
            retriable=True,
        ) from error
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await backbone.close()
