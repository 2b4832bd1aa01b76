"""A Kafka topic of the cluster that tocsin works on, for programs: the event with CloudEvents headers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator

from tocsin.deliver.event_body import event_body
from tocsin.deliver.protocol import (
    ChannelType,
    Outgoing,
    Permanent,
    Receipt,
    Transient,
    Transport,
    destination_fields,
    secret_fields,
)
from tocsin.deliver.settings import ChannelSettings
from tocsin.schemas.alert import SOURCE

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


def _topic(value: str) -> str:
    if not _TOPIC.fullmatch(value) or value in (".", ".."):
        raise ValueError(f"{value[:60]!r} is not a topic's name; use letters, digits, . _ and -")
    return value


class KafkaSettings(ChannelSettings):
    """The topic, which must be there: tocsin creates none but its own, and writes to none of these."""

    topic: Annotated[str, AfterValidator(_topic)]


async def send(settings: KafkaSettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Write one record, keyed as the notification is: by fingerprint or group, so that the order is kept."""
    if transport.topics is None:
        raise Permanent("this process writes to no topics")
    value, headers = record(outgoing)
    key = outgoing.notification.group_key.encode()
    try:
        async with asyncio.timeout(settings.timeout_s):
            partition, offset = await transport.topics.write(settings.topic, key, value, list(headers.items()))
    except TimeoutError:
        raise Transient(f"Kafka took nothing within {settings.timeout_s:g} s") from None
    return Receipt(f"{settings.topic}, partition {partition}, offset {offset}")


def record(outgoing: Outgoing) -> tuple[bytes, dict[str, bytes]]:
    """Value and headers: CloudEvents 1.0 in Kafka's binary mode; `ce_id` is the same for every repeat."""
    body = event_body(outgoing)
    headers = {
        "ce_specversion": "1.0",
        "ce_id": outgoing.notification.id,
        "ce_source": SOURCE,
        "ce_type": body["type"],
        "ce_subject": outgoing.notification.event.fingerprint,
        "ce_time": body["timestamp"],
        "content-type": "application/json",
    }
    return orjson.dumps(body["data"]), {name: text.encode() for name, text in headers.items()}


def _preview(settings: KafkaSettings, outgoing: Outgoing) -> Mapping[str, Any]:
    value, headers = record(outgoing)
    shown = {name: text.decode() for name, text in headers.items()}
    return {"topic": settings.topic, "headers": shown, "value": orjson.loads(value)}


CHANNEL = ChannelType(KafkaSettings, send, secret_fields(), destination_fields("topic"), _preview, digests=False)
