"""Incidents: alerts that correlation rules joined, and why."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from tocsin.api.listing import listed
from tocsin.api.problems import not_found
from tocsin.api.requests import fields, known, only, page
from tocsin.api.state import answer, api_of
from tocsin.projection.queries import documents, one_document
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
    return answer(listed(found, _place, shown))


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
