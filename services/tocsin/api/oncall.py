"""Who is on call: now, at a time, over a time, and as a calendar; and overrides, which say that it is somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from tocsin.agents.clock import clock_ms
from tocsin.api.calendars import TYPE, Entry, calendar
from tocsin.api.escalations import ADDED, PEOPLE, SCHEDULES, changing
from tocsin.api.problems import bad_parameter, invalid, not_found
from tocsin.api.requests import check_precondition, fields, instant, json_body, only, page, validated
from tocsin.api.state import answer, api_of
from tocsin.engine.escalate.rota import MOST_CHANGES, Rota, Shift
from tocsin.projection.queries import documents
from tocsin.schemas.instant import format_instant
from tocsin.schemas.interval import Instant, zone
from tocsin.schemas.kinds import Id
from tocsin.schemas.oncall import Override, Person, Schedule
from tocsin.schemas.problems import FieldError

_DAY_MS: Final = 86_400_000
_SHOWN_DAYS: Final = 14
_CALENDAR_DAYS: Final = 92
_LONGEST_DAYS: Final = 366
_LATEST_MS: Final = 221_845_392_000_000  # the year 9000: turns are counted from it in both directions


class OverrideBody(BaseModel):
    """Somebody else is on call, from now unless said."""

    model_config = ConfigDict(extra="forbid")

    person: Id
    starts_at: Instant | None = None
    ends_at: Instant
    comment: str = Field(default="", max_length=1_024)
    id: Id | None = None


async def on_call(request: web.Request) -> web.Response:
    """Who is on call by each schedule, now or at a time, until when, and who follows; no end where nobody else
    does."""
    only(request, ("at", "schedule", "limit", "cursor"))
    api, shown, at_ms = api_of(request), page(request), _moment(request, "at", clock_ms())
    wanted = fields(request, ("schedule",)).get("schedule")
    found = [one for one in await documents(api.database, "schedules") if wanted is None or one.id in wanted]
    unknown = sorted({*(wanted or ())} - {one.id for one in found})
    if unknown:
        raise not_found("schedule", unknown[0])
    rest = [one for one in found if one.id > shown.cursor] if shown.cursor else found
    rotas = [_rota(schedule) for one in rest[: shown.limit] if (schedule := one.read(Schedule))]
    people = {one.id: person for one in await documents(api.database, "people") if (person := one.read(Person))}
    items = await asyncio.to_thread(lambda: [_now(rota, at_ms, people) for rota in rotas])
    more = rest[shown.limit - 1].id if len(rest) > shown.limit else None
    return answer({"at": format_instant(at_ms), "items": items, "next_cursor": more, "total": len(found)})


async def shifts(request: web.Request) -> web.Response:
    """Who is on call by a schedule from a time to another, and what each layer and override adds to that."""
    only(request, ("from", "to"))
    stored = await SCHEDULES.stored(api_of(request), request.match_info["id"])
    return answer(await _preview(request, stored.parse(Schedule)))


async def preview(request: web.Request) -> web.Response:
    """The same for a schedule that is not in force; changes nothing."""
    only(request, ("from", "to"))
    body = await json_body(request)
    schedule = validated(Schedule, {name: value for name, value in body.items() if name not in ADDED})
    return answer(await _preview(request, schedule))


async def schedule_calendar(request: web.Request) -> web.Response:
    """A schedule as iCalendar, three months from today unless said; `?person=` gives one person's shifts."""
    only(request, ("from", "to", "person"))
    api = api_of(request)
    stored = await SCHEDULES.stored(api, request.match_info["id"])
    person = request.query.get("person")
    if person is not None:
        await PEOPLE.stored(api, person)
    return await _calendar(request, stored.id, [stored.parse(Schedule)], person)


async def person_calendar(request: web.Request) -> web.Response:
    """When somebody is on call by any schedule, as iCalendar, three months from today unless said."""
    only(request, ("from", "to"))
    api = api_of(request)
    person = (await PEOPLE.stored(api, request.match_info["id"])).id
    found = filter(None, [one.read(Schedule) for one in await documents(api.database, "schedules")])
    return await _calendar(request, person, [one for one in found if person in one.people], person)


async def add_override(request: web.Request) -> web.Response:
    """Somebody else is on call for a time; the answer is the schedule as it then is."""
    only(request, ())
    api, schedule_id, now_ms = api_of(request), request.match_info["id"], clock_ms()
    body = validated(OverrideBody, await json_body(request))
    if body.ends_at <= now_ms:
        raise invalid([FieldError("ends_at", "is past; nobody would be on call for somebody else")])
    given = body.model_dump(exclude_none=True) | {"starts_at": now_ms if body.starts_at is None else body.starts_at}
    made = validated(Override, given)
    async with changing(api):
        stored = await SCHEDULES.stored(api, schedule_id)
        check_precondition(request, stored.revision)
        overrides = [*stored.parse(Schedule).document()["overrides"], made.model_dump(mode="json")]
        return await SCHEDULES.store(api, validated(Schedule, {**stored.body, "overrides": overrides}), 201)


async def remove_override(request: web.Request) -> web.Response:
    """The layers count again."""
    only(request, ())
    api, override_id = api_of(request), request.match_info["override"]
    async with changing(api):
        stored = await SCHEDULES.stored(api, request.match_info["id"])
        check_precondition(request, stored.revision)
        before = stored.parse(Schedule).document()["overrides"]
        left = [one for one in before if one["id"] != override_id]
        if len(left) == len(before):
            raise not_found("override", override_id)
        await SCHEDULES.store(api, validated(Schedule, {**stored.body, "overrides": left}), 200)
    return web.Response(status=204)


def _moment(request: web.Request, name: str, otherwise_ms: int) -> int:
    found = instant(request, name)
    if found is not None and found > _LATEST_MS:
        raise bad_parameter(name, "lies beyond the year 9000; ask for an earlier time")
    return otherwise_ms if found is None else found


def _span(request: web.Request, days: int) -> tuple[int, int]:
    begin_ms = _moment(request, "from", clock_ms() // _DAY_MS * _DAY_MS)
    end_ms = _moment(request, "to", begin_ms + days * _DAY_MS)
    if end_ms <= begin_ms:
        raise bad_parameter("to", "must lie after from; correct one of them")
    if end_ms - begin_ms > _LONGEST_DAYS * _DAY_MS:
        raise bad_parameter("to", f"lies over {_LONGEST_DAYS} days after from; ask for a shorter time")
    return begin_ms, end_ms


def _rota(schedule: Schedule) -> Rota:
    return Rota(schedule, zone(schedule.time_zone))


def _bounded(rotas: Sequence[Rota], begin_ms: int, end_ms: int) -> None:
    if sum(rota.size(begin_ms, end_ms) for rota in rotas) > MOST_CHANGES:
        raise bad_parameter("to", f"there are over {MOST_CHANGES} handovers until then; ask for a shorter time")


def _now(rota: Rota, at_ms: int, people: dict[str, Person]) -> dict[str, Any]:
    shift = rota.shift(at_ms)
    relief = rota.relief(at_ms)
    person = people.get(shift.person or "")
    return {
        "schedule": rota.schedule.id,
        "person": shift.person,
        "name": person.name if person else "",
        "contacts": [one.channel for one in person.contacts] if person else [],
        "source": shift.source,
        "since": format_instant(shift.begin_ms),
        "until": format_instant(relief.begin_ms) if relief else None,
        "next": relief.person if relief else None,
    }


async def _preview(request: web.Request, schedule: Schedule) -> dict[str, Any]:
    begin_ms, end_ms = _span(request, _SHOWN_DAYS)
    rota = _rota(schedule)
    _bounded([rota], begin_ms, end_ms)
    # A thread: thousands of handovers take long enough to hold up other requests.
    final, layers = await asyncio.to_thread(lambda: (rota.shifts(begin_ms, end_ms), rota.layers(begin_ms, end_ms)))
    overrides = [one for one in schedule.overrides if one.starts_at < end_ms and begin_ms < one.ends_at]
    return {
        "schedule": schedule.id,
        "time_zone": schedule.time_zone,
        "from": format_instant(begin_ms),
        "to": format_instant(end_ms),
        "final": [_shown(one) for one in final],
        "layers": [{"name": name, "shifts": [_shown(one) for one in found]} for name, found in layers],
        "overrides": [one.model_dump(mode="json") for one in overrides],
    }


def _shown(shift: Shift) -> dict[str, Any]:
    begin, end = format_instant(shift.begin_ms), format_instant(shift.end_ms)
    return {"person": shift.person, "starts_at": begin, "ends_at": end, "source": shift.source}


async def _calendar(request: web.Request, name: str, schedules: Sequence[Schedule], person: str | None) -> web.Response:
    begin_ms, end_ms = _span(request, _CALENDAR_DAYS)
    rotas = [_rota(one) for one in schedules]
    _bounded(rotas, begin_ms, end_ms)
    database = api_of(request).database
    names = {one.id: one.body.get("name") or one.id for one in await documents(database, "people")}

    def drawn() -> bytes:
        found = [
            Entry(rota.schedule, shift, names.get(shift.person, shift.person))
            for rota in rotas
            for shift in rota.shifts(begin_ms, end_ms)
            if shift.person is not None and person in (None, shift.person)
        ]
        return calendar(f"on call: {name}", [entry.event() for entry in found], clock_ms())

    headers = {"Content-Disposition": f'inline; filename="{name.replace(":", "-")}.ics"'}
    return web.Response(body=await asyncio.to_thread(drawn), content_type=TYPE, charset="utf-8", headers=headers)
