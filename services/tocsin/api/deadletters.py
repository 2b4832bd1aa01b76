"""Dead letters and deliveries: what could not be processed or sent, and every attempt."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from pydantic import BaseModel, ConfigDict, Field

from tocsin.api.problems import Problem, not_found
from tocsin.api.requests import fields, json_body, only, page, validated
from tocsin.api.state import Api, answer, api_of
from tocsin.kafka.clients import consumer_arguments, started
from tocsin.projection import queries

_DELIVERY_FIELDS = ("channel_id", "channel_type", "outcome", "rule_id", "fingerprint", "notification_id")
_READ_S = 10.0


class RedriveBody(BaseModel):
    """Which dead letters to put back."""

    model_config = ConfigDict(extra="forbid")

    ids: list[str] = Field(min_length=1, max_length=1_000)


async def deliveries(request: web.Request) -> web.Response:
    """Attempts to deliver, the latest first."""
    only(request, (*_DELIVERY_FIELDS, "limit", "cursor"))
    found = await queries.deliveries(api_of(request).database, fields(request, _DELIVERY_FIELDS), page(request))
    return answer(found.body())


async def dead_letters(request: web.Request) -> web.Response:
    """Dead letters, the latest first."""
    only(request, ("reason", "limit", "cursor"))
    found = await queries.dead_letters(api_of(request).database, fields(request, ("reason",)), page(request))
    return answer(found.body())


async def redrive(request: web.Request) -> web.Response:
    """Put dead letters back on the topics they came from, to be tried again."""
    only(request, ())
    api = api_of(request)
    wanted = validated(RedriveBody, await json_body(request)).ids
    places = await queries.dead_letter_places(api.database, wanted)
    missing = [identity for identity in wanted if identity not in places]
    if missing:
        raise not_found("dead letter", missing[0])
    records = await _records(api, list(dict.fromkeys(places.values())))
    for record in records:
        if _header(record, "topic") is None or not record.value or _header(record, "truncated"):
            detail = (
                f"the dead letter {record.partition}-{record.offset} has not the whole content, so cannot be put back"
            )
            raise Problem(409, detail)
    for record in records:
        await api.put(_header(record, "topic") or "", record.key or None, record.value)
    return answer({"redriven": len(records)})


def _header(record: ConsumerRecord, wanted: str) -> str | None:
    return next((value.decode("utf-8", "replace") for name, value in record.headers if name == wanted), None)


async def _records(api: Api, places: list[tuple[int, int]]) -> list[Any]:
    """The records themselves, since the projection keeps only their beginning."""
    topic = api.context.topics.dlq
    found = []
    consumer = AIOKafkaConsumer(**consumer_arguments(api.context.connection))
    async with started(consumer, api.context.connection.bootstrap_servers), asyncio.timeout(_READ_S):
        for number, offset in places:
            partition = TopicPartition(topic, number)
            consumer.assign([partition])
            if offset < (await consumer.beginning_offsets([partition]))[partition]:
                raise Problem(410, f"the dead letter {number}-{offset} is no longer on {topic}: its retention is over")
            consumer.seek(partition, offset)
            found.append(await consumer.getone(partition))
    return found
