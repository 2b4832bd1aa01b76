"""Rules: written to the compacted topic `rules`; a rule's revision is its offset there."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import BaseModel, ValidationError

from tocsin.api.problems import Problem, invalid, not_found
from tocsin.api.requests import check_precondition, etag, fields, json_body, known, merged, only, page, validated
from tocsin.api.state import Api, answer, api_of
from tocsin.engine.templates import template_problems
from tocsin.projection.queries import Document, documents, one_document
from tocsin.schemas.codec import encode_document
from tocsin.schemas.composites import composites_over, member_problems
from tocsin.schemas.instant import format_instant
from tocsin.schemas.problems import FieldError
from tocsin.schemas.rule import Id, Rule, Severity
from tocsin.schemas.rule_doubts import doubts

KIND = "rules"
_FILTERS = ("category", "metric_type")
ADDED = ("revision", "updated_at", "warnings")


class RuleName(BaseModel):
    """Which rule, for those who name it in the body."""

    id: Id


async def list_(request: web.Request) -> web.Response:
    """All rules by id; with `?id=`, one."""
    if "id" in request.query:
        only(request, ("id",))
        return await one(request, request.query["id"])
    only(request, (*_FILTERS, "severity", "enabled", "q", "limit", "cursor"))
    shown = page(request)
    found = [_body(entry) for entry in await documents(api_of(request).database, KIND)]
    wanted = fields(request, _FILTERS) | known(request, {"severity": tuple(Severity), "enabled": ("true", "false")})
    for name, values in wanted.items():
        found = [rule for rule in found if str(rule.get(name)).lower() in [value.lower() for value in values]]
    text = request.query.get("q", "").lower()
    found = [rule for rule in found if text in f"{rule['id']}\n{rule.get('name')}\n{rule.get('description')}".lower()]
    rest = [rule for rule in found if rule["id"] > shown.cursor] if shown.cursor else found
    items = rest[: shown.limit]
    more = items[-1]["id"] if len(rest) > len(items) else None
    return answer({"items": items, "next_cursor": more, "total": len(found)})


async def get(request: web.Request) -> web.Response:
    """One rule."""
    only(request, ())
    return await one(request, request.match_info["id"])


async def create(request: web.Request) -> web.Response:
    """A new rule."""
    only(request, ())
    rule = _checked(await json_body(request))
    api = api_of(request)
    async with api.changing(api.context.topics.rules, rule.id):
        if await one_document(api.database, KIND, rule.id) is not None:
            raise Problem(409, f"there is a rule {rule.id!r} already; change it with PUT, or choose another id")
        return await store(api, rule, 201)


async def replace(request: web.Request) -> web.Response:
    """Create or replace a rule; its id is in the path, in `?id=`, or in the body."""
    body = await json_body(request)
    rule = _checked({**body, **_named(request, body)})
    api = api_of(request)
    async with api.changing(api.context.topics.rules, rule.id):
        before = await one_document(api.database, KIND, rule.id)
        check_precondition(request, before.revision if before else None)
        return await store(api, rule, 200 if before else 201)


async def patch(request: web.Request) -> web.Response:
    """Change some fields (JSON merge patch, RFC 7386); null gives a field its default back."""
    only(request, ())
    api, rule_id = api_of(request), request.match_info["id"]
    change = await json_body(request)
    async with api.changing(api.context.topics.rules, rule_id):
        before = await one_document(api.database, KIND, rule_id)
        if before is None:
            raise not_found("rule", rule_id)
        check_precondition(request, before.revision)
        rule = _checked(merged(before.body, change))
        if rule.id != rule_id:
            raise invalid([FieldError("id", "cannot be changed; create another rule")])
        return await store(api, rule, 200)


async def delete(request: web.Request) -> web.Response:
    """Delete a rule; its alerts are resolved. Its id is in the path, in `?id=`, or in the body."""
    api = api_of(request)
    rule_id = validated(RuleName, _named(request, await json_body(request))).id
    async with api.changing(api.context.topics.rules, rule_id):
        before = await one_document(api.database, KIND, rule_id)
        if before is None:
            raise not_found("rule", rule_id)
        check_precondition(request, before.revision)
        if over := composites_over(rule_id, await _in_force(api)):
            names = ", ".join(map(repr, over))
            raise Problem(409, f"rule {rule_id!r} is a member of {names}; take it out there, or delete that first")
        await api.write(api.context.topics.rules, rule_id, None)
    return web.Response(status=204)


async def validate(request: web.Request) -> web.Response:
    """Say whether a rule would be taken, and what is wrong with it; changes nothing."""
    only(request, ())
    try:
        rule = _checked(await json_body(request))
        await check_members(api_of(request), rule)
    except Problem as problem:
        if problem.status != 422:
            raise
        return answer(
            {"valid": False, "errors": [{"field": one.field, "message": one.message} for one in problem.errors]}
        )
    warnings = await _warnings(api_of(request), rule, rule.escalation_policy)
    return answer({"valid": True, "errors": [], "rule": rule.document(), "warnings": warnings})


def _named(request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
    """The id wherever it is said, `{}` where it is not. Raises Problem for two that differ."""
    only(request, () if "id" in request.match_info else ("id",))
    said = request.match_info.get("id") or request.query.get("id")
    if not said:
        return {"id": body["id"]} if "id" in body else {}
    if body.get("id", said) != said:
        raise invalid([FieldError("id", f"is {body['id']!r} in the body and {said!r} in the address; use one")])
    return {"id": said}


async def one(request: web.Request, rule_id: str) -> web.Response:
    """Answer with one rule."""
    found = await one_document(api_of(request).database, KIND, rule_id)
    if found is None:
        raise not_found("rule", rule_id)
    return answer(await _warned(api_of(request), _body(found)), headers={"ETag": etag(found.revision)})


async def store(api: Api, rule: Rule, status: int) -> web.Response:
    """Write a rule, and answer with it as it then is. Raises Problem as `check_members` does."""
    await check_members(api, rule)
    revision = await api.write(api.context.topics.rules, rule.id, encode_document(rule))
    stored = await one_document(api.database, KIND, rule.id)
    body = _body(stored) if stored and stored.revision >= revision else {**rule.document(), "revision": revision}
    headers = {"ETag": etag(revision)}
    if status == 201:
        headers["Location"] = f"/api/v1/rules/{rule.id}"
    return answer(await _warned(api, body), status, headers)


def _checked(body: dict[str, Any]) -> Rule:
    rule = validated(Rule, {name: value for name, value in body.items() if name not in ADDED})
    problems = template_problems(rule)
    if problems:
        raise invalid(problems)
    return rule


async def _in_force(api: Api) -> dict[str, Rule | None]:
    """Composites by id, and None for every other rule: only what names others need be read."""
    found = await documents(api.database, KIND)
    return {entry.id: entry.read(Rule) if entry.body.get("conditions") else None for entry in found}


async def check_members(api: Api, rule: Rule) -> None:
    """Raises Problem for a composite over rules that are not there, or over itself."""
    if rule.conditions:
        known = {**await _in_force(api), rule.id: rule}
        problems = list(member_problems(rule, known, "in force"))
        if problems:
            raise invalid([FieldError(".".join(map(str, path)), text) for path, text in problems])


def _body(entry: Document) -> dict[str, Any]:
    return {**entry.body, "revision": entry.revision, "updated_at": format_instant(entry.updated_ms)}


async def _warned(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    found = await _warnings(api, _as_rule(body), body.get("escalation_policy"))
    return {**body, "warnings": found} if found else body


async def _warnings(api: Api, rule: Rule | None, policy: str | None) -> list[dict[str, str]]:
    """What is doubtful in a rule, None for one that cannot be read, and in its policy: that may be added later, and
    until then its alerts reach nobody by it."""
    entries = [await one_document(api.database, KIND, member.rule) for member in (rule.conditions if rule else ())]
    known = {entry.id: entry.read(Rule) for entry in entries if entry}
    found = [(".".join(map(str, path)), text) for path, text in (doubts(rule, known) if rule else ())]
    if policy and await one_document(api.database, "escalations", policy) is None:
        found.append(("escalation_policy", f"there is no escalation policy {policy!r} yet; add it, or name another"))
    return [{"field": field, "message": text} for field, text in found]


def _as_rule(body: dict[str, Any]) -> Rule | None:
    """A rule without what is added to it; None for one that this version cannot read."""
    try:
        return Rule.model_validate({name: value for name, value in body.items() if name not in ADDED})
    except ValidationError:
        return None
