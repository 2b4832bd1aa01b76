"""Incidents: alerts that correlation rules joined, and why."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from tocsin.api.problems import not_found
from tocsin.api.requests import fields, known, only, page
from tocsin.api.state import answer, api_of
from tocsin.projection.queries import cursor_after, documents, one_document, read_cursor
from tocsin.schemas.instant import MAX_MS, parse_instant
from tocsin.schemas.rule import Severity

KIND: Final = "incidents"
STATES: Final = ("open", "resolved")


async def list_(request: web.Request) -> web.Response:
    """Incidents, those that are open first, then the latest; `?status=`, `?severity=` and `?correlation=` give some."""
    only(request, ("status", "severity", "correlation", "limit", "cursor"))
    wanted = known(request, {"status": STATES, "severity": tuple(Severity)}) | fields(request, ("correlation",))
    shown = page(request)
    found = [entry.body for entry in await documents(api_of(request).database, KIND)]
    found = [one for one in found if all(one[name] in values for name, values in wanted.items())]
    found.sort(key=_place)
    # By place: an incident that a page ended with may be over before the next one is asked for.
    after = read_cursor(shown.cursor) if shown.cursor else None
    rest = [one for one in found if after is None or _place(one) > after]
    items = rest[: shown.limit]
    more = cursor_after(*_place(items[-1])) if len(rest) > len(items) else None
    return answer({"items": items, "next_cursor": more, "total": len(found)})


async def get(request: web.Request) -> web.Response:
    """One incident, with its alerts."""
    only(request, ())
    incident_id = request.match_info["id"]
    found = await one_document(api_of(request).database, KIND, incident_id)
    if found is None:
        raise not_found("incident", incident_id)
    return answer(found.body)


def _place(one: dict[str, Any]) -> tuple[int, str]:
    return STATES.index(one["status"]) * 2 * MAX_MS + MAX_MS - parse_instant(one["started_at"]), one["id"]
