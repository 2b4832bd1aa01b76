"""Alerts: lists, and one alert with its history."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from aiohttp import web

from tocsin.agents.clock import clock_ms
from tocsin.api.escalation_steps import escalation
from tocsin.api.explanation import explain
from tocsin.api.listing import listed
from tocsin.api.problems import bad_parameter, not_found
from tocsin.api.quiet import with_quiet
from tocsin.api.requests import alert_filter, fields, flag, known, only, page
from tocsin.api.state import answer, api_of
from tocsin.projection import queries
from tocsin.schemas.alert import AlertType
from tocsin.schemas.instant import parse_instant

_TYPES: tuple[str, ...] = get_args(AlertType)


async def active(request: web.Request) -> web.Response:
    """Alerts that are pending, firing or acknowledged, the latest first, each with what keeps it `quiet` now."""
    database, wanted = api_of(request).database, alert_filter(request, "quiet")
    shown, is_quiet, now_ms = page(request), flag(request, "quiet"), clock_ms()
    if is_quiet is None:
        found = await queries.active_alerts(database, wanted, shown)
        return answer(found.body() | {"items": await with_quiet(database, found.items, now_ms)})
    alerts = await with_quiet(database, await queries.all_active(database, wanted), now_ms)
    return answer(listed([one for one in alerts if bool(one["quiet"]) == is_quiet], _latest_first, shown))


def _latest_first(alert: queries.Item) -> tuple[int, str]:
    return -parse_instant(alert["starts_at"]), alert["fingerprint"]


async def history(request: web.Request) -> web.Response:
    """Alert events, the latest first unless `sort=updated_at`."""
    wanted = alert_filter(request, "from", "to", "sort", "type", "fingerprint", "learns")
    sort = request.query.get("sort", "-updated_at")
    if sort not in ("updated_at", "-updated_at"):
        raise bad_parameter("sort", f"{sort!r} is not one of updated_at, -updated_at")
    more = known(request, {"type": _TYPES}) | fields(request, ("fingerprint",))
    wanted = replace(wanted, fields={**wanted.fields, **more}, learns=flag(request, "learns"))
    shown = replace(page(request), oldest_first=sort == "updated_at")
    return answer((await queries.alert_history(api_of(request).database, wanted, shown)).body())


async def one(request: web.Request) -> web.Response:
    """One alert with its timeline, evidence, deliveries, and why somebody was told or was not."""
    only(request, ())
    api, fingerprint = api_of(request), request.match_info["fingerprint"]
    events = await queries.timeline(api.database, fingerprint)
    active = await queries.active_alert(api.database, fingerprint)
    alert = active or (events[-1] if events else None)
    if alert is None:
        raise not_found("alert", fingerprint)
    if active is not None:
        (alert,) = await with_quiet(api.database, [active], clock_ms())
    sent = await queries.deliveries(api.database, {"fingerprint": [fingerprint]}, queries.Page(200))
    said = await queries.feedback_given(api.database, {"fingerprint": [fingerprint]}, None, queries.Page(200))
    decisions = await queries.decisions(api.database, fingerprint)
    listed = {one["notification_id"] for one in sent.items}
    grouped = {name for one in decisions for name in one.get("notifications", ())} - listed
    if grouped:  # told together with others, under the fingerprint of the worst
        more = await queries.deliveries(api.database, {"notification_id": sorted(grouped)}, queries.Page(200))
        sent.items.extend(more.items)
    body = {"alert": alert, "timeline": events, "evidence": alert["evidence"], "deliveries": sent.items}
    explanation = explain(events, decisions, sent.items) | {"escalation": escalation(alert, events, decisions)}
    return answer({**body, "decisions": decisions, "feedback": said.items, "explanation": explanation})
