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

from tocsin.agents.clock import clock_ms
from tocsin.api.acts import ACTOR
from tocsin.api.listing import listed
from tocsin.api.problems import Problem, invalid, not_found
from tocsin.api.requests import check_precondition, etag, json_body, known, only, page, validated
from tocsin.api.state import Api, answer, api_of
from tocsin.engine.route.reminders import taken_back
from tocsin.engine.route.silences import applies
from tocsin.projection.queries import (
    Document,
    Item,
    all_active,
    documents,
    fired_since,
    one_document,
)
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.codec import encode, encode_document
from tocsin.schemas.duration import Duration
from tocsin.schemas.instant import format_instant
from tocsin.schemas.interval import Instant
from tocsin.schemas.kinds import Id
from tocsin.schemas.problems import FieldError
from tocsin.schemas.rule import Matchers
from tocsin.schemas.silence import Recurrence, Reminder, Silence, matchers_for

KIND = "silences"
ADDED: Final = ("state", "revision", "updated_at", "preview")
STATES: Final = ("active", "pending", "expired")
_DAY_MS: Final = 86_400_000
_MOST_FIRED: Final = 20_000
_MOST_SHOWN: Final = 100
_WINDOWS_SHOWN: Final = 10
_HOUR_MS: Final = 3_600_000
_TAKEN_OVER: Final = ("match", "schedule", "ends_with_alert", "reminder", "created_by", "comment")
# More than half of all alerts is broad, once there are enough of them to tell.
_ENOUGH: Final = 10
PERMITTED: Final = "link-"  # how the ids of silences begin that say that a link was used


class SilenceBody(BaseModel):
    """A silence as it is asked for: from now for an hour, unless said. `allow_broad` is for those that mean it."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    match: Matchers = Field(min_length=1)
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    duration: Duration | None = None
    schedule: Recurrence | None = None
    ends_with_alert: bool = False
    reminder: Reminder | None = None
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
    return answer(listed(found, _place, shown))


async def get(request: web.Request) -> web.Response:
    """One silence, with what it keeps quiet."""
    only(request, ())
    api, found = api_of(request), await _stored(request)
    silence = found.parse(Silence)
    body = {**_body(found, clock_ms()), "preview": await _preview(api, silence, clock_ms())}
    return answer(body, headers={"ETag": etag(found.revision)})


async def create(request: web.Request) -> web.Response:
    """A new silence."""
    only(request, ())
    api, now_ms = api_of(request), clock_ms()
    body = validated(SilenceBody, await json_body(request))
    silence = _made(body, now_ms)
    async with api.changing(api.context.topics.silences, silence.id):
        if await one_document(api.database, KIND, silence.id) is not None:
            raise invalid([FieldError("id", f"there is a silence {silence.id!r} already; leave it out")], 409)
        return await _store(api, silence, 201, is_allowed=body.allow_broad)


async def replace(request: web.Request) -> web.Response:
    """Change a silence, or make one of this id. Times that are not given stay; a `duration` counts from now where it
    has begun. One that is over stays over."""
    only(request, ())
    api, silence_id, now_ms = api_of(request), request.match_info["id"], clock_ms()
    given = {name: value for name, value in (await json_body(request)).items() if name not in ADDED}
    if given.setdefault("id", silence_id) != silence_id:
        raise invalid([FieldError("id", f"is {given['id']!r} in the body and {silence_id!r} in the address; use one")])
    body = validated(SilenceBody, given)
    async with api.changing(api.context.topics.silences, silence_id):
        stored = await one_document(api.database, KIND, silence_id)
        check_precondition(request, stored.revision if stored else None)
        before = stored.read(Silence) if stored else None
        if before and before.state(now_ms) == "expired":
            raise Problem(409, f"the silence {silence_id!r} is over, and stays as it was; add another one")
        silence = _made(body, now_ms, before)
        is_allowed = body.allow_broad or (before is not None and before.match == silence.match)
        answered = await _store(api, silence, 200 if stored else 201, is_allowed=is_allowed)
        await _take_back(api, before, silence, now_ms)
        return answered


async def permitted(api: Api, identity: str, alert: AlertEvent, length_ms: int, by: str, comment: str) -> bool:
    """Silence one alert, of which `matchers_for` tells, until it is over, but not for longer than that; False where
    there is this silence already."""
    now_ms = clock_ms()
    silence = Silence(
        id=identity,
        match=matchers_for(alert),
        starts_at=now_ms,
        ends_at=now_ms + length_ms,
        ends_with_alert=True,
        created_by=by,
        comment=comment,
    )
    async with api.changing(api.context.topics.silences, identity):
        if await one_document(api.database, KIND, identity) is not None:
            return False
        await api.write(api.context.topics.silences, identity, encode_document(silence))
    return True


async def _store(api: Api, silence: Silence, status: int, *, is_allowed: bool) -> web.Response:
    """Write a silence, and answer with it. Raises Problem for one that is too broad, unless that is allowed."""
    now_ms = clock_ms()
    preview = await _preview(api, silence, now_ms)
    if preview["too_broad"] and not is_allowed:
        raise invalid([FieldError("match", f"{preview['too_broad']}; narrow it, or set allow_broad: true")])
    revision = await api.write(api.context.topics.silences, silence.id, encode_document(silence))
    headers = {"ETag": etag(revision)}
    if status == 201:
        headers["Location"] = f"/api/v1/silences/{silence.id}"
    body = {**silence.document(), "state": silence.state(now_ms), "revision": revision, "preview": preview}
    return answer(body, status, headers)


async def preview(request: web.Request) -> web.Response:
    """What a silence would keep quiet: alerts that are active, that fired within a day, and its next windows."""
    only(request, ())
    now_ms = clock_ms()
    body = validated(SilenceBody, await json_body(request))
    return answer(await _preview(api_of(request), _made(body, now_ms), now_ms))


async def delete(request: web.Request) -> web.Response:
    """End a silence now; one that is over is removed, unless it says that a link was used."""
    only(request, ())
    api, silence_id, now_ms = api_of(request), request.match_info["id"], clock_ms()
    async with api.changing(api.context.topics.silences, silence_id):
        silence = (await _stored(request)).read(Silence)
        value = None
        if silence is None or silence.state(now_ms) == "expired":
            if silence_id.startswith(PERMITTED):
                return web.Response(status=204)  # it goes when no link is as old
        else:
            times = {"starts_at": min(silence.starts_at, now_ms), "ends_at": now_ms}
            value = encode_document(silence.model_copy(update=times))
        await api.write(api.context.topics.silences, silence_id, value)
        await _take_back(api, silence, None, now_ms)
    return web.Response(status=204)


async def _take_back(api: Api, before: Silence | None, after: Silence | None, now_ms: int) -> None:
    """Nobody need know any more that a silence ends soon, when it ends another time."""
    if before is None or not before.reminds(now_ms):
        return
    if after is None or after.ends_at != before.ends_at or after.reminder is None:
        command = taken_back(before, now_ms)
        await api.send(api.context.topics.commands, command.fingerprint, encode(command))


def _place(one: dict[str, Any]) -> tuple[int, str]:
    return STATES.index(one["state"]), f"{one['ends_at']} {one['id']}"


def _made(body: SilenceBody, now_ms: int, before: Silence | None = None) -> Silence:
    if body.ends_at is not None and body.duration is not None:
        raise invalid([FieldError("duration", "does not go with ends_at; remove one")])
    if body.duration == 0:
        raise invalid([FieldError("duration", "must be longer than zero; leave it out for an hour")])
    begin_ms, end_ms = _times(body, now_ms, before)
    given = {name: getattr(body, name) for name in _TAKEN_OVER}
    given["created_by"] = body.created_by or ACTOR
    times = {"starts_at": begin_ms, "ends_at": end_ms}
    silence = validated(Silence, {**given, **times, "id": body.id or secrets.token_hex(8)})
    if silence.ends_at <= now_ms:
        raise invalid([FieldError("ends_at", "is past; nothing would be silenced")])
    if silence.reminder and silence.reminds_ms <= silence.starts_at:
        raise invalid([FieldError("reminder.before", "is as long as the silence itself; shorten it")])
    if silence.state(now_ms) == "expired":
        field = "schedule.cron" if silence.schedule and silence.schedule.cron else "schedule.rrule"
        raise invalid([FieldError(field, "has no window before ends_at; correct one of them")])
    return silence


def _times(body: SilenceBody, now_ms: int, before: Silence | None) -> tuple[int, int]:
    begin_ms = before.starts_at if before and body.starts_at is None else body.starts_at
    if begin_ms is None:
        begin_ms = body.schedule.first_ms(now_ms) if body.schedule else now_ms
    if body.ends_at is not None:
        return begin_ms, body.ends_at
    if body.duration is not None:
        return begin_ms, (max(begin_ms, now_ms) if before else begin_ms) + body.duration
    default_ms = 10 * 365 * _DAY_MS if body.schedule else _HOUR_MS
    return begin_ms, before.ends_at if before else begin_ms + default_ms


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
    silence = entry.read(Silence)  # what another version wrote is not in force
    state = silence.state(now_ms) if silence else "expired"
    added = {"state": state, "revision": entry.revision, "updated_at": format_instant(entry.updated_ms)}
    return {**entry.body, **added}
