"""Dead letters and deliveries: what could not be processed or sent, and every attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Annotated, Any, get_args

from aiohttp import web
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from pydantic import BaseModel, ConfigDict, Field

from tocsin.api.problems import Problem, not_found
from tocsin.api.requests import fields, json_body, known, only, page, validated
from tocsin.api.state import Api, answer, api_of
from tocsin.kafka.clients import consumer_arguments, started
from tocsin.projection import queries
from tocsin.schemas.dead_letter import restored_headers
from tocsin.schemas.notification import Outcome
from tocsin.schemas.topics import CHANNEL_TYPES

_DELIVERY_FIELDS = ("channel_id", "channel_type", "rule_id", "fingerprint", "notification_id")
_OUTCOMES: dict[str, tuple[str, ...]] = {"outcome": get_args(Outcome)}
_READ_S = 10.0
_MAX_DIGITS = 15
_ACTION = "POST /dlq/redrive"


class RedriveBody(BaseModel):
    """Which dead letters to put back."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Annotated[str, Field(pattern=r"^[0-9]{1,10}-[0-9]{1,19}$")]] = Field(min_length=1, max_length=1_000)


async def deliveries(request: web.Request) -> web.Response:
    """Attempts to deliver, the latest first."""
    only(request, (*_DELIVERY_FIELDS, *_OUTCOMES, "limit", "cursor"))
    wanted = fields(request, _DELIVERY_FIELDS) | known(request, _OUTCOMES)
    found = await queries.deliveries(api_of(request).database, wanted, page(request))
    return answer(found.body())


async def dead_letters(request: web.Request) -> web.Response:
    """Dead letters, the latest first."""
    only(request, ("reason", "limit", "cursor"))
    database = api_of(request).database
    found = await queries.dead_letters(database, fields(request, ("reason",)), page(request))
    since_ms = min((one["at_ms"] for one in found.items), default=0)
    put_back = await queries.put_back(database, _ACTION, since_ms) if found.items else {}
    items = [{"channel_id": "", **one, "redriven_at": put_back.get(one["id"])} for one in found.items]
    return answer(replace(found, items=items).body())


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
    allowed = _topics(api)
    for record in records:
        _check_whole(record, allowed)
    for record in records:
        own = restored_headers(record.headers)
        # A sample without a time has that of its message, so the message keeps it.
        at_ms = _number(_header(record, "timestamp"), record.timestamp)
        await api.put(_header(record, "topic") or "", record.key or None, record.value, own, at_ms)
    # On record, so that lists can tell what was put back already.
    return answer({"redriven": len(records), "ids": list(dict.fromkeys(wanted))})


def _topics(api: Api) -> frozenset[str]:
    """Where dead letters come from. Headers are anybody's, and a forged one must not write a rule or a channel."""
    topics, settings = api.context.topics, api.context.settings
    metrics = (name.partition(":")[0] for name in settings.metrics.topics)
    notifications = (topics.notifications(channel_type) for channel_type in CHANNEL_TYPES)
    return frozenset((*metrics, *notifications, topics.signals, topics.commands, topics.alerts))


def _check_whole(record: ConsumerRecord, allowed: Collection[str]) -> None:
    identity, topic = f"{record.partition}-{record.offset}", _header(record, "topic")
    if topic is None or not record.value or _header(record, "truncated"):
        raise Problem(409, f"the dead letter {identity} has not the whole content, so cannot be put back")
    if topic not in allowed:
        raise Problem(409, f"the dead letter {identity} names the topic {topic[:249]!r}, which takes nothing back")


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else otherwise


def _header(record: ConsumerRecord, wanted: str) -> str | None:
    return next((value.decode("utf-8", "replace") for name, value in record.headers if name == wanted and value), None)


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
