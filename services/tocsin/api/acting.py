"""What people do about an alert: acknowledge, snooze, unacknowledge, resolve, trigger."""

from __future__ import annotations

import difflib
import uuid
from typing import Any

from aiohttp import web

from tocsin.agents.clock import clock_ms
from tocsin.api.acts import ACTOR, Acknowledging, Ending, Said, Snoozing, TriggerBody
from tocsin.api.feedback import judge
from tocsin.api.problems import Problem, invalid, not_found
from tocsin.api.requests import json_body, validated
from tocsin.api.state import READ_BACK_S, Api, answer, api_of
from tocsin.engine.template_nodes import has_tags
from tocsin.projection import queries
from tocsin.schemas.codec import encode
from tocsin.schemas.command import AcknowledgeReason, Command, CommandType, Trigger
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import alert_fingerprint
from tocsin.schemas.problems import FieldError
from tocsin.schemas.rule import Rule, Severity

_LATEST = 5  # events among which that of a command is looked for


async def acknowledge(request: web.Request) -> web.Response:
    """Somebody takes care of a firing alert; for a while only, and reminded meanwhile, where that is said."""
    said = validated(Acknowledging, await json_body(request))
    return await _act(request, "acknowledge", "acknowledged", said, said.remind_every or 0, said.reason or "")


async def snooze(request: web.Request) -> web.Response:
    """Put a firing alert off: it is told again when the time has come, if it still fires."""
    return await _act(request, "snooze", "acknowledged", validated(Snoozing, await json_body(request)))


async def unacknowledge(request: web.Request) -> web.Response:
    """Nobody takes care any more; that it was false is taken back as well."""
    said, api = validated(Said, await json_body(request)), api_of(request)
    before = await queries.active_alert(api.database, request.match_info["fingerprint"])
    if before is not None and (before.get("acknowledged") or {}).get("reason") == "false_positive":
        # First, so that who is told of a failure, and tries again, takes back both.
        await judge(api, before, "real", said.by, said.comment)
    return await _act(request, "unacknowledge", "firing", said)


async def resolve(request: web.Request) -> web.Response:
    """End an alert by hand."""
    return await _act(request, "resolve", "resolved", validated(Said, await json_body(request)))


async def trigger(request: web.Request) -> web.Response:
    """Raise an alert by hand; one that is active already is the answer itself. A `drill` is an alert of its own."""
    api = api_of(request)
    body = validated(TriggerBody, await json_body(request))
    fingerprint = alert_fingerprint(body.rule_id, body.all_labels())
    standing = await queries.active_alert(api.database, fingerprint)
    if standing is not None and standing["status"] != "pending":
        return answer(standing)
    stored = await queries.one_document(api.database, "rules", body.rule_id)
    if stored is None and not body.name:
        raise await _unknown_rule(api, body.rule_id)
    rule = stored.read(Rule) if stored else None
    policy = body.escalation_policy
    if policy and await queries.one_document(api.database, "escalations", policy) is None:
        raise invalid([FieldError("escalation_policy", f"there is no escalation policy {policy!r}; name another")])
    command = _command(fingerprint, "trigger", body, trigger=_trigger(body, rule))
    return await _sent(api, command, "firing", 201)


async def _unknown_rule(api: Api, rule_id: str) -> Problem:
    """A name that is mistyped; who means an alert without a rule gives it a title."""
    known = [one.id for one in await queries.documents(api.database, "rules")]
    near = difflib.get_close_matches(rule_id, known, n=1)
    meant = f"did you mean {near[0]!r}? An" if near else "an"
    return Problem(404, f"there is no rule {rule_id!r}; {meant} alert without a rule needs a name")


async def _act(
    request: web.Request,
    kind: CommandType,
    status: str,
    said: Said,
    remind_every_ms: int = 0,
    reason: AcknowledgeReason = "",
) -> web.Response:
    api, fingerprint = api_of(request), request.match_info["fingerprint"]
    standing = await queries.active_alert(api.database, fingerprint)
    if standing is None:
        events = await queries.timeline(api.database, fingerprint, 1)
        if not events:
            raise not_found("alert", fingerprint)
        if status == "resolved":
            return answer(events[-1])
        text = f"the alert {fingerprint} is not active; of one that is over, only feedback can be given"
        raise Problem(409, f"{text}, as by `tocsin alerts mark`")
    if standing["status"] == "pending":
        raise Problem(409, f"the alert {fingerprint} is pending, so there is nothing to {kind} yet")
    more = {"starts_at": standing["starts_at"], "remind_every_ms": remind_every_ms, "reason": reason}
    command = _command(fingerprint, kind, said, **more)
    if standing["status"] == status and not _differs(command, standing.get("acknowledged")):
        return answer(standing)
    return await _sent(api, command, status, 200)


def _differs(command: Command, before: dict[str, Any] | None) -> bool:
    """Whether what is acknowledged would be so in another way; plainly once more says nothing new."""
    if command.type == "snooze":
        return True
    if command.type != "acknowledge" or before is None:
        return False
    if command.reason and command.reason != before.get("reason", ""):
        return True
    was_plain = not before.get("until") and not before.get("snoozed") and not before.get("remind_every_ms")
    return not was_plain or command.until_ms is not None or command.remind_every_ms > 0


async def _sent(api: Api, command: Command, status: str, code: int) -> web.Response:
    """Send a command and answer with what came of it; 202 when that takes longer than a client should wait."""
    event = await carried_out(api, command, status)
    if event is None:
        return answer({"status": "accepted", "command": command.id, "fingerprint": command.fingerprint}, 202)
    return answer(event, code)


async def carried_out(api: Api, command: Command, status: str) -> Any:
    """Send a command; the event that came of it, None when that takes long."""
    before = await queries.timeline(api.database, command.fingerprint, 1)
    await api.send(api.context.topics.commands, command.fingerprint, encode(command))
    at = format_instant(command.at_ms)

    async def done() -> Any:
        events = await queries.timeline(api.database, command.fingerprint, _LATEST)
        ours = [one for one in events if one["updated_at"] == at and one.get("actor") == command.actor]
        if not ours:  # it may have come to that without us
            is_new = bool(events) and (not before or events[-1]["id"] != before[-1]["id"])
            ours = [one for one in events[-1:] if is_new and one["status"] == status]
        standing = await queries.active_alert(api.database, command.fingerprint)
        is_there = (standing["status"] if standing else "resolved") == status
        return ours[-1] if ours and is_there else None

    return await api.projector.until(done, READ_BACK_S)


def _command(fingerprint: str, kind: CommandType, said: Said, **more: Any) -> Command:
    now_ms = clock_ms()
    until_ms = said.end_ms(now_ms) if isinstance(said, Ending) else None
    if until_ms is not None and until_ms <= now_ms:
        raise invalid([FieldError("until", "is past; give a time to come, or leave it out")])
    actor, name = said.by or ACTOR, uuid.uuid4().hex
    return Command(name, kind, fingerprint, actor, now_ms, said.comment, until_ms=until_ms, **more)


def _trigger(body: TriggerBody, rule: Rule | None) -> Trigger:
    """The alert as said, else as the rule says; templates need a sample, so they are left out."""
    labels = {name: text for name, text in (rule.labels if rule else {}).items() if not has_tags(text)}
    texts = {name: text for name, text in (rule.annotations if rule else {}).items() if not has_tags(text)}
    return Trigger(
        rule_id=body.rule_id,
        rule_name=body.name or (rule.title if rule else body.rule_id),
        severity=(body.severity or (rule.severity if rule else Severity.WARNING)).value,
        category=body.category if body.category is not None else (rule.category if rule else ""),
        description=body.description if body.description is not None else (rule.description if rule else ""),
        labels={**labels, **body.all_labels()},
        annotations={**texts, **body.annotations},
        value=body.value,
        threshold=body.threshold if body.threshold is not None else _threshold(rule),
        operator=body.operator or (rule.operator if rule else None),
        notifications=body.notifications if body.notifications is not None else (rule.notifications if rule else ()),
        runbook_url=rule.runbook_url if rule else "",
        escalation_policy=body.escalation_policy or (rule and rule.escalation_policy) or "",
        drill=body.drill,
    )


def _threshold(rule: Rule | None) -> float | None:
    return rule.threshold if rule and rule.threshold != "auto" else None
