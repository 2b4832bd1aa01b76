"""Shadow mode: a candidate runs beside a rule for a time, a report says what it would change, and it takes over or not.

A candidate lies on `rules` beside the rule, under a key that no rule can have.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, field_validator

from tocsin.agents.clock import clock_ms
from tocsin.api import rules
from tocsin.api.problems import Problem, invalid
from tocsin.api.requests import check_precondition, etag, json_body, only, page, validated
from tocsin.api.shadow_report import Running, compared, head, holds
from tocsin.api.state import Api, answer, api_of
from tocsin.engine.templates import template_problems
from tocsin.projection.queries import documents, one_document
from tocsin.schemas.codec import encode_document
from tocsin.schemas.duration import Duration, milliseconds
from tocsin.schemas.labels import SHADOW
from tocsin.schemas.problems import FieldError
from tocsin.schemas.rule import Rule
from tocsin.schemas.shadow import Candidate

_KIND: Final = "shadows"
_LONGEST_MS: Final = milliseconds("14d")


class ShadowBody(BaseModel):
    """The candidate, and for how long it runs beside the rule in force."""

    model_config = ConfigDict(extra="forbid", validate_by_name=False)

    rule: Rule
    for_ms: Duration = Field(default=milliseconds("1d"), alias="for", description="up to 14d")

    @field_validator("for_ms")
    @classmethod
    def _some(cls, value: int) -> int:
        if not 1_000 <= value <= _LONGEST_MS:
            raise ValueError("must be from 1s to 14d; try 1d")
        return value


async def list_(request: web.Request) -> web.Response:
    """Candidates in shadow, by the id of their rule."""
    only(request, ("limit", "cursor"))
    api, shown, now_ms = api_of(request), page(request), clock_ms()
    found = [running for entry in await documents(api.database, _KIND) if (running := Running.read(entry, now_ms))]
    rest = [one for one in found if one.rule_id > shown.cursor] if shown.cursor else found
    items = rest[: shown.limit]
    more = items[-1].rule_id if len(rest) > len(items) else None
    return answer({"items": [head(one, now_ms) for one in items], "next_cursor": more, "total": len(found)})


async def start(request: web.Request) -> web.Response:
    """Let a candidate run beside the rule in force, or beside none; the one that runs already goes on for that long."""
    only(request, ())
    api, rule_id = api_of(request), request.match_info["id"]
    body = _checked(await json_body(request), rule_id)
    topic, now_ms = api.context.topics.rules, clock_ms()
    async with api.changing(topic, SHADOW + rule_id):
        await rules.check_members(api, body.rule)
        before = await _find(api, rule_id)
        check_precondition(request, before.revision if before else None)
        if before is not None and before.goes_on(body.rule, now_ms):
            kept = before.candidate.since_ms, now_ms + body.for_ms, before.run, before.candidate.against
            candidate = Candidate.of(body.rule, *kept)
        else:
            current = await one_document(api.database, rules.KIND, rule_id)
            against = current.revision if current else -1
            candidate = Candidate.of(body.rule, now_ms, now_ms + body.for_ms, against=against)
        revision = await api.write(topic, candidate.id, encode_document(candidate))
    location = {"Location": f"/api/v1/rules/{rule_id}/shadow"} if before is None else {}
    shown = head(Running(candidate, revision), now_ms)
    return answer(shown, 200 if before else 201, {"ETag": etag(revision), **location})


async def report(request: web.Request) -> web.Response:
    """What the candidate would add and remove, up to now or to the end of its time."""
    only(request, ())
    api = api_of(request)
    running = await _known(api, request.match_info["id"])
    return answer(await compared(api.database, running, clock_ms()), headers={"ETag": etag(running.revision)})


async def promote(request: web.Request) -> web.Response:
    """Make the candidate the rule, as any write of a rule; its time in shadow is over. Repeated, it changes nothing."""
    only(request, ())
    api, rule_id = api_of(request), request.match_info["id"]
    topic = api.context.topics.rules
    async with api.changing(topic, SHADOW + rule_id), api.changing(topic, rule_id):
        running = await _known(api, rule_id)
        before = await one_document(api.database, rules.KIND, rule_id)
        check_precondition(request, before.revision if before else None)
        rule, revision = running.candidate.rule, before.revision if before else -1
        # Killed between these two writes, it is the rule and still in shadow: promoted again, it only leaves that.
        is_done = before is not None and holds(before, rule)
        if not is_done and revision != running.candidate.against and "If-Match" not in request.headers:
            raise _overtaken(rule_id, running.candidate.against, revision)
        done = await (rules.one(request, rule_id) if is_done else rules.store(api, rule, 200 if before else 201))
        await api.write(topic, running.candidate.id, None)
    return done


async def stop(request: web.Request) -> web.Response:
    """End the candidate's time in shadow without any other change; its report goes with it."""
    only(request, ())
    api, rule_id = api_of(request), request.match_info["id"]
    topic = api.context.topics.rules
    async with api.changing(topic, SHADOW + rule_id):
        running = await _known(api, rule_id)
        check_precondition(request, running.revision)
        await api.write(topic, running.candidate.id, None)
    return web.Response(status=204)


def _checked(body: dict[str, Any], rule_id: str) -> ShadowBody:
    given = body.get("rule")
    if isinstance(given, dict):
        said = given.get("id", rule_id)
        if said != rule_id:
            raise invalid([FieldError("rule.id", f"is {said!r} in the body and {rule_id!r} in the address; use one")])
        body = {**body, "rule": {name: value for name, value in given.items() if name not in rules.ADDED}}
        body["rule"]["id"] = rule_id
    found = validated(ShadowBody, body)
    problems = template_problems(found.rule)
    if problems:
        raise invalid([FieldError(f"rule.{one.field}", one.message) for one in problems])
    return found


def _overtaken(rule_id: str, against: int, revision: int) -> Problem:
    what = "deleted" if revision < 0 else "changed" if against >= 0 else "created"
    mend = "stop it and begin anew" + ("" if revision < 0 else ", or send If-Match with the rule's ETag (--force)")
    return Problem(409, f"the rule {rule_id!r} was {what} since its candidate began, and this would undo that; {mend}")


async def _find(api: Api, rule_id: str) -> Running | None:
    entry = await one_document(api.database, _KIND, SHADOW + rule_id)
    return Running.read(entry, clock_ms()) if entry else None


async def _known(api: Api, rule_id: str) -> Running:
    found = await _find(api, rule_id)
    if found is None:
        mend = "begin with PUT, or `tocsin shadow start FILE`"
        raise Problem(404, f"no candidate of rule {rule_id!r} is in shadow; {mend}")
    return found
