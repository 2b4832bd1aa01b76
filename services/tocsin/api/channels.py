"""Channels: credentials go in, are sealed before they are written, and never come out."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from aiohttp import web
from pydantic import BaseModel, ConfigDict

from tocsin.agents.clock import clock_ms
from tocsin.api.escalations import refuse_if_used
from tocsin.api.problems import Problem, invalid, not_found
from tocsin.api.requests import check_precondition, etag, flag, json_body, merged, only, page, validated
from tocsin.api.state import Api, answer, api_of
from tocsin.deliver.channels import channel_type
from tocsin.deliver.credentials import ConfigRefused, masked_config, seal_config
from tocsin.engine.route.step import notification
from tocsin.projection.queries import Document, delivery_of, documents, one_document
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode, encode_document
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import alert_fingerprint, stable_id
from tocsin.schemas.problems import FieldError
from tocsin.schemas.rule import Id

KIND = "channels"
_TEST_S = 15.0
_ADDED = ("revision", "updated_at")


class TestBody(BaseModel):
    """Which channel to test."""

    __test__ = False
    model_config = ConfigDict(extra="forbid")

    channel: Id


async def list_(request: web.Request) -> web.Response:
    """All channels by id, credentials masked."""
    only(request, ("limit", "cursor"))
    shown = page(request)
    found = await documents(api_of(request).database, KIND)
    rest = [entry for entry in found if entry.id > shown.cursor] if shown.cursor else found
    items = rest[: shown.limit]
    more = items[-1].id if len(rest) > len(items) else None
    return answer({"items": [_body(entry) for entry in items], "next_cursor": more, "total": len(found)})


async def get(request: web.Request) -> web.Response:
    """One channel, credentials masked."""
    only(request, ())
    found = await _stored(api_of(request), request.match_info["id"])
    return answer(_body(found), headers={"ETag": etag(found.revision)})


async def create(request: web.Request) -> web.Response:
    """A new channel."""
    only(request, ())
    api, channel = api_of(request), _read(await json_body(request))
    async with api.changing(api.context.topics.channels, channel.id):
        if await one_document(api.database, KIND, channel.id) is not None:
            raise Problem(409, f"there is a channel {channel.id!r} already; change it with PUT, or choose another id")
        return await _store(api, channel, None)


async def replace(request: web.Request) -> web.Response:
    """Create or replace a channel; a credential given as its mask stays as it is."""
    only(request, ())
    api, channel_id = api_of(request), request.match_info["id"]
    body = await json_body(request)
    if body.get("id", channel_id) != channel_id:
        raise invalid([FieldError("id", f"is {body['id']!r} in the body and {channel_id!r} in the address; use one")])
    channel = _read({**body, "id": channel_id})
    async with api.changing(api.context.topics.channels, channel_id):
        before = await one_document(api.database, KIND, channel_id)
        check_precondition(request, before.revision if before else None)
        return await _store(api, channel, before)


async def patch(request: web.Request) -> web.Response:
    """Change some fields (JSON merge patch, RFC 7386), lists as a whole; null gives a field its default back, and a
    credential that is not given stays as it is."""
    only(request, ())
    api, channel_id = api_of(request), request.match_info["id"]
    change = await json_body(request)
    async with api.changing(api.context.topics.channels, channel_id):
        before = await _stored(api, channel_id)
        check_precondition(request, before.revision)
        shown = {**before.body, "config": masked_config(before.parse(Channel))}
        channel = _read(merged(shown, change))
        if channel.id != channel_id:
            raise invalid([FieldError("id", "cannot be changed; create another channel")])
        return await _store(api, channel, before)


async def delete(request: web.Request) -> web.Response:
    """Delete a channel that nothing names: no person, escalation policy, rule, route, correlation, silence or other
    channel; with `force=true` only people and policies count."""
    only(request, ("force",))
    is_forced = flag(request, "force") is True
    api, channel_id = api_of(request), request.match_info["id"]
    async with api.changing(api.context.topics.channels, channel_id):
        check_precondition(request, (await _stored(api, channel_id)).revision)
        await refuse_if_used(api, KIND, channel_id, is_forced=is_forced)
        await api.write(api.context.topics.channels, channel_id, None)
    return web.Response(status=204)


async def test(request: web.Request) -> web.Response:
    """Send a test notification, and answer with what the receiver said; of one that keeps incidents open also what it
    said to the end of this one (`closing`)."""
    only(request, ())
    api = api_of(request)
    channel = (await _stored(api, validated(TestBody, await json_body(request)).channel)).parse(Channel)
    if not channel.enabled:
        raise Problem(409, f"the channel {channel.id!r} is disabled; enable it first")
    event = _test_event(channel.id)
    found = await _told(api, channel, event, "the test")
    if channel_type(channel.type).keeps_incidents and found["outcome"] == "delivered":
        over = msgspec.structs.replace(
            event, id=f"{event.id}-over", type="resolved", status="resolved", sequence=2, ends_at=_now()
        )
        found["closing"] = await _told(api, channel, over, "the end of the test, whose incident may still be open,")
    return answer(found)


async def _told(api: Api, channel: Channel, event: AlertEvent, what: str) -> dict[str, Any]:
    """What the receiver said to a test notification."""
    wanted = notification(event, channel, test=True)
    await api.send(api.context.topics.notifications(channel.type), wanted.group_key, encode(wanted))

    async def done() -> Any:
        return await delivery_of(api.database, wanted.id)

    found: dict[str, Any] | None = await api.projector.until(done, _TEST_S)
    if found is None:
        where = f"/api/v1/deliveries?notification_id={wanted.id}"
        detail = f"nothing is known of {what} after {_TEST_S:g} s: its receiver is slow, which {where} will say,"
        raise Problem(504, f"{detail} or delivery does not run, which /readyz says")
    return found


def _now() -> str:
    return format_instant(clock_ms())


async def _store(api: Api, channel: Channel, before: Document | None) -> web.Response:
    previous = before.read(Channel) if before else None
    try:
        sealed = await asyncio.to_thread(seal_config, channel, api.vault, previous)
    except ConfigRefused as refused:
        raise invalid(refused.errors) from None
    revision = await api.write(api.context.topics.channels, channel.id, encode_document(sealed))
    now_ms = clock_ms()
    body = _body(Document(sealed.id, revision, now_ms, sealed.model_dump(mode="json")))
    headers = {"ETag": etag(revision)}
    if before is None:
        headers["Location"] = f"/api/v1/channels/{channel.id}"
    return answer(body, 200 if before else 201, headers)


async def _stored(api: Api, channel_id: str) -> Document:
    found = await one_document(api.database, KIND, channel_id)
    if found is None:
        raise not_found("channel", channel_id)
    return found


def _read(body: dict[str, Any]) -> Channel:
    return validated(Channel, {name: value for name, value in body.items() if name not in _ADDED})


def _body(entry: Document) -> dict[str, Any]:
    channel = entry.read(Channel)
    shown = {**entry.body, "config": masked_config(channel) if channel else {}}
    return {**shown, "revision": entry.revision, "updated_at": format_instant(entry.updated_ms)}


def _test_event(channel_id: str) -> AlertEvent:
    now = _now()
    labels = {"channel": channel_id}
    fingerprint = alert_fingerprint("tocsin_test", labels)
    return AlertEvent(
        id=stable_id("test", channel_id, time.time_ns()),
        type="firing",
        fingerprint=fingerprint,
        sequence=1,
        rule_id="tocsin_test",
        rule_name="Test of a channel",
        severity="info",
        status="firing",
        description="A test, sent by hand. Nothing is wrong.",
        labels=labels,
        value=1.0,
        threshold=0.0,
        operator="gt",
        starts_at=now,
        fired_at=now,
        updated_at=now,
        reason="manual",
        actor="admin",
    )
