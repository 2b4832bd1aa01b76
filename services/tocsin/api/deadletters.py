"""Dead letters and deliveries: what could not be processed or sent, and every attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Annotated, get_args

from aiohttp import web
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from pydantic import BaseModel, ConfigDict, Field

from tocsin.api.problems import Problem, not_found
from tocsin.api.requests import fields, json_body, known, only, page, validated
from tocsin.api.state import Api, answer, api_of
from tocsin.kafka.clients import consumer_arguments, started
from tocsin.projection import queries
from tocsin.schemas.codec import UnreadableRecord, decode
from tocsin.schemas.dead_letter import restored_headers
from tocsin.schemas.notification import Notification, Outcome
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
    records = await _records(api, {identity: places[identity] for identity in wanted})
    allowed = _topics(api)
    for record in records.values():
        _check_whole(record, allowed)
    overtaken = {identity: why for identity, one in records.items() if (why := await _overtaken(api, one))}
    # As they came: what fires is told before that it is over, whatever the order in which they are named.
    for identity, record in sorted(records.items(), key=lambda item: _origin(item[1])):
        if identity not in overtaken:
            await _put_back(api, record)
    # On record, so that lists can tell what was put back already.
    done = [identity for identity in records if identity not in overtaken]
    return answer({"redriven": len(done), "ids": done, "overtaken": overtaken})


async def _put_back(api: Api, record: ConsumerRecord) -> None:
    own = restored_headers(record.headers)
    # A sample without a time has that of its message, so the message keeps it.
    at_ms = _number(_header(record, "timestamp"), record.timestamp)
    await api.put(_header(record, "topic") or "", record.key or None, record.value, own, at_ms)


def _origin(record: ConsumerRecord) -> tuple[str, int, int]:
    partition, offset = (_number(_header(record, name), 0) for name in ("partition", "offset"))
    return _header(record, "topic") or "", partition, offset


async def _overtaken(api: Api, record: ConsumerRecord) -> str:
    """Why nobody is to be told of a notification any more: a receiver that keeps an incident, and has heard that it is
    over, would open it anew, and never close it."""
    if _header(record, "topic") not in _notification_topics(api):
        return ""
    try:
        notification = decode(Notification, record.value)
    except UnreadableRecord:
        return ""  # delivery says what is wrong with it
    if notification.test or notification.status == "resolved":
        return ""
    told = notification.group.alerts if notification.group else (notification.event,)
    names, channel = [one.fingerprint for one in told], notification.channel_id
    at = await queries.told_over(api.database, channel, names, record.timestamp)
    return f"the channel {channel!r} was told at {at} that it is over" if at else ""


def _topics(api: Api) -> frozenset[str]:
    """Where dead letters come from. Headers are anybody's, and a forged one must not write a rule or a channel."""
    topics, settings = api.context.topics, api.context.settings
    metrics = (name.partition(":")[0] for name in settings.metrics.topics)
    return _notification_topics(api) | {*metrics, topics.signals, topics.commands, topics.alerts}


def _notification_topics(api: Api) -> frozenset[str]:
    return frozenset(api.context.topics.notifications(channel_type) for channel_type in CHANNEL_TYPES)


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


async def _records(api: Api, places: Mapping[str, tuple[int, int]]) -> dict[str, ConsumerRecord]:
    """The records themselves, by id, since the projection keeps only their beginning."""
    topic = api.context.topics.dlq
    found = {}
    consumer = AIOKafkaConsumer(**consumer_arguments(api.context.connection))
    async with started(consumer, api.context.connection.bootstrap_servers), asyncio.timeout(_READ_S):
        for identity, (number, offset) in places.items():
            partition = TopicPartition(topic, number)
            consumer.assign([partition])
            if offset < (await consumer.beginning_offsets([partition]))[partition]:
                raise Problem(410, f"the dead letter {number}-{offset} is no longer on {topic}: its retention is over")
            consumer.seek(partition, offset)
            found[identity] = await consumer.getone(partition)
    return found
