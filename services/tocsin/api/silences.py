"""Silences: what they would keep quiet is shown before they are made, and those that are too broad are refused."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from itertools import chain, islice
from typing import Any, Final

import msgspec
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from tocsin.api.problems import invalid, not_found
from tocsin.api.requests import json_body, known, only, page, validated
from tocsin.api.state import Api, answer, api_of, clock_ms
from tocsin.engine.route.silences import applies
from tocsin.projection.queries import (
    Document,
    Item,
    all_active,
    cursor_after,
    documents,
    fired_since,
    one_document,
    read_cursor,
)
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.codec import encode_document
from tocsin.schemas.duration import Duration
from tocsin.schemas.instant import format_instant
from tocsin.schemas.interval import Instant
from tocsin.schemas.kinds import Id
from tocsin.schemas.problems import FieldError
from tocsin.schemas.rule import Matchers
from tocsin.schemas.silence import Recurrence, Silence

KIND = "silences"
STATES: Final = ("active", "pending", "expired")
_DAY_MS: Final = 86_400_000
_MOST_FIRED: Final = 20_000
_MOST_SHOWN: Final = 100
_WINDOWS_SHOWN: Final = 10
_HOUR_MS: Final = 3_600_000
# More than half of all alerts is broad, once there are enough of them to tell.
_ENOUGH: Final = 10


class SilenceBody(BaseModel):
    """A silence as it is asked for: from now for an hour, unless said. `allow_broad` is for those that mean it."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    match: Matchers = Field(min_length=1)
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    duration: Duration | None = None
    schedule: Recurrence | None = None
    ends_with_alert: bool = False
    created_by: str = Field(default="", max_length=256)
    comment: str = Field(default="", max_length=4_096)
    id: Id | None = None
    allow_broad: bool = False


async def list_(request: web.Request) -> web.Response:
    """All silences, those in force first; `?state=` gives some of them."""
    only(request, ("state", "limit", "cursor"))
    states = known(request, {"state": STATES}).get("state", list(STATES))
    shown, now_ms = page(request), clock_ms()
    found = [_body(entry, now_ms) for entry in await documents(api_of(request).database, KIND)]
    found = [one for one in found if one["state"] in states]
    found.sort(key=_place)
    # By place: the silence that a page ended with may be removed before the next one is asked for.
    after = read_cursor(shown.cursor) if shown.cursor else None
    rest = [one for one in found if after is None or _place(one) > after]
    items = rest[: shown.limit]
    more = cursor_after(*_place(items[-1])) if len(rest) > len(items) else None
    return answer({"items": items, "next_cursor": more, "total": len(found)})


async def get(request: web.Request) -> web.Response:
    """One silence, with what it keeps quiet."""
    only(request, ())
    api, found = api_of(request), await _stored(request)
    silence = Silence.model_validate(found.body)
    return answer({**_body(found, clock_ms()), "preview": await _preview(api, silence, clock_ms())})


async def create(request: web.Request) -> web.Response:
    """A new silence."""
    only(request, ())
    api, now_ms = api_of(request), clock_ms()
    body = validated(SilenceBody, await json_body(request))
    silence = _made(body, now_ms)
    preview = await _preview(api, silence, now_ms)
    if preview["too_broad"] and not body.allow_broad:
        raise invalid([FieldError("match", f"{preview['too_broad']}; narrow it, or set allow_broad: true")])
    async with api.changing(api.context.topics.silences, silence.id):
        if await one_document(api.database, KIND, silence.id) is not None:
            raise invalid([FieldError("id", f"there is a silence {silence.id!r} already; leave it out")], 409)
        await api.write(api.context.topics.silences, silence.id, encode_document(silence))
    headers = {"Location": f"/api/v1/silences/{silence.id}"}
    return answer({**silence.document(), "state": silence.state(now_ms), "preview": preview}, 201, headers)


async def preview(request: web.Request) -> web.Response:
    """What a silence would keep quiet: alerts that are active, that fired within a day, and its next windows."""
    only(request, ())
    now_ms = clock_ms()
    body = validated(SilenceBody, await json_body(request))
    return answer(await _preview(api_of(request), _made(body, now_ms), now_ms))


async def delete(request: web.Request) -> web.Response:
    """End a silence now; one that is over is removed."""
    only(request, ())
    api, silence_id, now_ms = api_of(request), request.match_info["id"], clock_ms()
    async with api.changing(api.context.topics.silences, silence_id):
        silence = Silence.model_validate((await _stored(request)).body)
        value = None
        if silence.state(now_ms) != "expired":
            times = {"starts_at": min(silence.starts_at, now_ms), "ends_at": now_ms}
            value = encode_document(silence.model_copy(update=times))
        await api.write(api.context.topics.silences, silence_id, value)
    return web.Response(status=204)


def _place(one: dict[str, Any]) -> tuple[int, str]:
    return STATES.index(one["state"]), f"{one['ends_at']} {one['id']}"


def _made(body: SilenceBody, now_ms: int) -> Silence:
    if body.ends_at is not None and body.duration is not None:
        raise invalid([FieldError("duration", "does not go with ends_at; remove one")])
    if body.duration == 0:
        raise invalid([FieldError("duration", "must be longer than zero; leave it out for an hour")])
    begin_ms = body.starts_at
    if begin_ms is None:
        begin_ms = body.schedule.first_ms(now_ms) if body.schedule else now_ms
    length_ms = (10 * 365 * _DAY_MS if body.schedule else _HOUR_MS) if body.duration is None else body.duration
    given: dict[str, Any] = {
        "id": body.id or secrets.token_hex(8),
        "match": body.match,
        "starts_at": begin_ms,
        "ends_at": begin_ms + length_ms if body.ends_at is None else body.ends_at,
        "schedule": body.schedule,
        "ends_with_alert": body.ends_with_alert,
        "created_by": body.created_by,
        "comment": body.comment,
    }
    silence = validated(Silence, given)
    if silence.ends_at <= now_ms:
        raise invalid([FieldError("ends_at", "is past; nothing would be silenced")])
    if silence.state(now_ms) == "expired":
        raise invalid([FieldError("schedule.rrule", "has no window before ends_at; correct one of them")])
    return silence


async def _preview(api: Api, silence: Silence, now_ms: int) -> dict[str, Any]:
    fired = await fired_since(api.database, now_ms - _DAY_MS, _MOST_FIRED)
    # A thread: with tens of thousands of alerts it takes long enough to hold up other requests.
    return await asyncio.to_thread(_hit, silence, await all_active(api.database), fired, now_ms)


def _hit(silence: Silence, now_active: Sequence[Item], fired: Sequence[Item], now_ms: int) -> dict[str, Any]:
    active = [msgspec.convert(item, AlertEvent) for item in now_active]
    lately = {one.fingerprint: one for one in (msgspec.convert(item, AlertEvent) for item in fired)}
    hit_now = [one for one in active if _hits(silence, one)]
    # Whatever was over before it begins counts here too: it shows how broad the matchers are.
    wide = silence.model_copy(update={"ends_with_alert": False})
    hit_lately = [one for one in lately.values() if _hits(wide, one)]
    are_shown = {one.fingerprint for one in hit_now}
    only_lately = (one for one in hit_lately if one.fingerprint not in are_shown)
    return {
        "active": len(hit_now),
        "active_of": len(active),
        "last_day": len(hit_lately),
        "last_day_of": len(lately),
        "alerts": [_shown(one) for one in islice(chain(hit_now, only_lately), _MOST_SHOWN)],
        "windows": [[format_instant(end) for end in window] for window in silence.windows(now_ms, _WINDOWS_SHOWN)],
        "too_broad": _too_broad(len(hit_now), len(active), "active alerts")
        or _too_broad(len(hit_lately), len(lately), "alerts of the last day"),
    }


def _too_broad(hit: int, there: int, what: str) -> str:
    return f"matches {hit} of {there} {what}" if there >= _ENOUGH and hit * 2 > there else ""


def _hits(silence: Silence, alert: AlertEvent) -> bool:
    return applies(silence, routing_labels(alert), alert.fired_ms)


def _shown(alert: AlertEvent) -> dict[str, Any]:
    names = ("fingerprint", "rule_id", "severity", "status", "labels", "starts_at")
    return {name: getattr(alert, name) for name in names}


async def _stored(request: web.Request) -> Document:
    silence_id = request.match_info["id"]
    found = await one_document(api_of(request).database, KIND, silence_id)
    if found is None:
        raise not_found("silence", silence_id)
    return found


def _body(entry: Document, now_ms: int) -> dict[str, Any]:
    state = Silence.model_validate(entry.body).state(now_ms)
    added = {"state": state, "revision": entry.revision, "updated_at": format_instant(entry.updated_ms)}
    return {**entry.body, **added}
