"""What people say of alerts that is of use later: whether one was right, however long ago it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tocsin.agents.clock import clock_ms
from tocsin.api.acts import ACTOR, Judging
from tocsin.api.problems import Problem, invalid, not_found
from tocsin.api.requests import fields, instant, json_body, only, page, validated
from tocsin.api.state import Api, answer, api_of
from tocsin.projection import queries
from tocsin.schemas.codec import encode
from tocsin.schemas.feedback import Feedback, Verdict
from tocsin.schemas.instant import format_instant
from tocsin.schemas.problems import FieldError


async def list_(request: web.Request) -> web.Response:
    """What people said of alerts, of each episode the latest word; the latest first."""
    only(request, ("fingerprint", "rule_id", "from", "limit", "cursor"))
    wanted = fields(request, ("fingerprint", "rule_id"))
    found = await queries.feedback_given(api_of(request).database, wanted, instant(request, "from"), page(request))
    return answer(found.body())


async def give(request: web.Request) -> web.Response:
    """Say of an alert that it was a `false_positive`, or `real` after all: of one that is active, or of any episode in
    its history (`starts_at`; the latest unless given). It stays as it is, and nobody is told."""
    api, fingerprint = api_of(request), request.match_info["fingerprint"]
    said = validated(Judging, await json_body(request))
    event = await _episode(api, fingerprint, said.starts_at)
    content = await judge(api, event, said.verdict, said.by, said.comment)
    return web.Response(body=content, content_type="application/json")


async def judge(api: Api, event: Mapping[str, Any], verdict: Verdict, by: str, comment: str) -> bytes:
    """Write what somebody says of the episode of an event; the record as it is written."""
    feedback = Feedback(
        fingerprint=event["fingerprint"],
        starts_at=event["starts_at"],
        ends_at=event["ends_at"],
        rule_id=event["rule_id"],
        labels=event["labels"],
        verdict=verdict,
        by=by or ACTOR,
        at=format_instant(clock_ms()),
        comment=comment,
    )
    content = encode(feedback)
    await api.write(api.context.topics.feedback, feedback.fingerprint, content)
    return content


async def _episode(api: Api, fingerprint: str, starts_ms: int | None) -> dict[str, Any]:
    """The last event of the episode that is meant, which somebody was or might have been told of."""
    events = await queries.timeline(api.database, fingerprint, 1)
    if not events:
        raise not_found("alert", fingerprint)
    found = events[0] if starts_ms is None else await queries.last_of_episode(api.database, fingerprint, starts_ms)
    if found is None:
        text = "no alert with this fingerprint began then; its `timeline` has the times"
        raise invalid([FieldError("starts_at", text)])
    if found["status"] == "pending":
        raise Problem(409, f"the alert {fingerprint} is pending, so there is nothing to judge yet")
    return found
