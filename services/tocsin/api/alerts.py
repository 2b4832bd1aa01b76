"""Alerts: lists, one alert with its history, and what people do about it."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Annotated, Any, Self, get_args

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tocsin.api.explanation import explain
from tocsin.api.problems import Problem, bad_parameter, not_found
from tocsin.api.requests import alert_filter, json_body, known, only, page, validated
from tocsin.api.state import READ_BACK_S, Api, answer, api_of, clock_ms
from tocsin.projection import queries
from tocsin.schemas.alert import AlertType
from tocsin.schemas.codec import encode
from tocsin.schemas.command import Command, CommandType, Trigger
from tocsin.schemas.kinds import LabelName
from tocsin.schemas.labels import alert_fingerprint
from tocsin.schemas.rule import Id, Operator, Rule, Severity

ACTOR = "admin"
_TYPES: tuple[str, ...] = get_args(AlertType)
_MAX_TEXT = 8_192
_MAX_TEXTS_BYTES = 65_536
_TEMPLATE_SIGNS = ("{{", "{%", "{#")


Text = Annotated[str, Field(max_length=_MAX_TEXT)]


class Said(BaseModel):
    """What a person says when acting on an alert."""

    model_config = ConfigDict(extra="forbid")

    comment: str = Field(default="", max_length=4_096)


class TriggerBody(BaseModel):
    """An alert raised by hand; a known rule gives what is not said."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    rule_id: Id
    name: str | None = Field(default=None, max_length=256)
    severity: Severity | None = None
    category: str | None = Field(default=None, max_length=128)
    description: str | None = Field(default=None, max_length=4_096)
    labels: dict[LabelName, Text] = Field(default_factory=dict, max_length=64)
    annotations: dict[LabelName, Text] = Field(default_factory=dict, max_length=64)
    value: float | None = None
    threshold: float | None = None
    operator: Operator | None = None
    notifications: tuple[Id, ...] | None = Field(default=None, max_length=64)
    comment: str = Field(default="", max_length=4_096)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Each event of the alert carries them all, so does each notification, and a topic's messages are bounded."""
        texts = (*self.labels.items(), *self.annotations.items())
        size = sum(len(name) + len(value.encode()) for name, value in texts)
        if size > _MAX_TEXTS_BYTES:
            raise ValueError(f"labels and annotations have {size} bytes together, more than {_MAX_TEXTS_BYTES}")
        return self


async def active(request: web.Request) -> web.Response:
    """Alerts that are pending, firing or acknowledged, the latest first."""
    found = await queries.active_alerts(api_of(request).database, alert_filter(request), page(request))
    return answer(found.body())


async def history(request: web.Request) -> web.Response:
    """Alert events, the latest first unless `sort=updated_at`."""
    wanted = alert_filter(request, "from", "to", "sort", "type")
    sort = request.query.get("sort", "-updated_at")
    if sort not in ("updated_at", "-updated_at"):
        raise bad_parameter("sort", f"{sort!r} is not one of updated_at, -updated_at")
    wanted = replace(wanted, fields={**wanted.fields, **known(request, {"type": _TYPES})})
    shown = replace(page(request), oldest_first=sort == "updated_at")
    return answer((await queries.alert_history(api_of(request).database, wanted, shown)).body())


async def one(request: web.Request) -> web.Response:
    """One alert with its timeline, evidence, deliveries, and why somebody was told or was not."""
    only(request, ())
    api, fingerprint = api_of(request), request.match_info["fingerprint"]
    events = await queries.timeline(api.database, fingerprint)
    alert = await queries.active_alert(api.database, fingerprint) or (events[-1] if events else None)
    if alert is None:
        raise not_found("alert", fingerprint)
    sent = await queries.deliveries(api.database, {"fingerprint": [fingerprint]}, queries.Page(200))
    decisions = await queries.decisions(api.database, fingerprint)
    listed = {one["notification_id"] for one in sent.items}
    grouped = {name for one in decisions for name in one.get("notifications", ())} - listed
    if grouped:  # told together with others, under the fingerprint of the worst
        more = await queries.deliveries(api.database, {"notification_id": sorted(grouped)}, queries.Page(200))
        sent.items.extend(more.items)
    body = {"alert": alert, "timeline": events, "evidence": alert["evidence"], "deliveries": sent.items}
    return answer({**body, "decisions": decisions, "explanation": explain(events, decisions, sent.items)})


async def acknowledge(request: web.Request) -> web.Response:
    """Somebody takes care of a firing alert."""
    return await _act(request, "acknowledge", "acknowledged")


async def unacknowledge(request: web.Request) -> web.Response:
    """Nobody takes care any more."""
    return await _act(request, "unacknowledge", "firing")


async def resolve(request: web.Request) -> web.Response:
    """End an alert by hand."""
    return await _act(request, "resolve", "resolved")


async def trigger(request: web.Request) -> web.Response:
    """Raise an alert by hand; one that is active already is the answer itself."""
    api = api_of(request)
    body = validated(TriggerBody, await json_body(request))
    fingerprint = alert_fingerprint(body.rule_id, body.labels)
    standing = await queries.active_alert(api.database, fingerprint)
    if standing is not None and standing["status"] != "pending":
        return answer(standing)
    stored = await queries.one_document(api.database, "rules", body.rule_id)
    rule = Rule.model_validate(stored.body) if stored else None
    command = _command(fingerprint, "trigger", body.comment)
    command = Command(**{**_plain(command), "trigger": _trigger(body, rule)})
    return await _sent(api, command, "firing", 201)


async def _act(request: web.Request, kind: CommandType, status: str) -> web.Response:
    api, fingerprint = api_of(request), request.match_info["fingerprint"]
    said = validated(Said, await json_body(request))
    standing = await queries.active_alert(api.database, fingerprint)
    if standing is None:
        events = await queries.timeline(api.database, fingerprint, 1)
        if not events:
            raise not_found("alert", fingerprint)
        if status == "resolved":
            return answer(events[-1])
        raise Problem(409, f"the alert {fingerprint} is not active; only an active one can be changed")
    if standing["status"] == status:
        return answer(standing)
    if standing["status"] == "pending":
        raise Problem(409, f"the alert {fingerprint} is pending, so there is nothing to {kind} yet")
    command = _command(fingerprint, kind, said.comment, standing["starts_at"])
    return await _sent(api, command, status, 200)


async def _sent(api: Api, command: Command, status: str, code: int) -> web.Response:
    """Send a command and answer with what came of it; 202 when that takes longer than a client should wait."""
    await api.send(api.context.topics.commands, command.fingerprint, encode(command))

    async def done() -> Any:
        events = await queries.timeline(api.database, command.fingerprint, 1)
        if not events or events[-1]["status"] != status:
            return None
        standing = await queries.active_alert(api.database, command.fingerprint)
        is_there = (standing["status"] if standing else "resolved") == status
        return events[-1] if is_there else None

    event = await api.projector.until(done, READ_BACK_S)
    if event is None:
        return answer({"status": "accepted", "command": command.id, "fingerprint": command.fingerprint}, 202)
    return answer(event, code)


def _command(fingerprint: str, kind: CommandType, comment: str, starts_at: str | None = None) -> Command:
    now_ms = clock_ms()
    return Command(uuid.uuid4().hex, kind, fingerprint, ACTOR, now_ms, comment, starts_at=starts_at)


def _plain(command: Command) -> dict[str, Any]:
    return {name: getattr(command, name) for name in Command.__struct_fields__}


def _trigger(body: TriggerBody, rule: Rule | None) -> Trigger:
    """The alert as said, else as the rule says; templates need a sample, so they are left out."""
    labels = {name: text for name, text in (rule.labels if rule else {}).items() if not _is_template(text)}
    texts = {name: text for name, text in (rule.annotations if rule else {}).items() if not _is_template(text)}
    return Trigger(
        rule_id=body.rule_id,
        rule_name=body.name or (rule.title if rule else body.rule_id),
        severity=(body.severity or (rule.severity if rule else Severity.WARNING)).value,
        category=body.category if body.category is not None else (rule.category if rule else ""),
        description=body.description if body.description is not None else (rule.description if rule else ""),
        labels={**labels, **body.labels},
        annotations={**texts, **body.annotations},
        value=body.value,
        threshold=body.threshold if body.threshold is not None else (rule.threshold if rule else None),
        operator=body.operator or (rule.operator if rule else None),
        notifications=body.notifications if body.notifications is not None else (rule.notifications if rule else ()),
        runbook_url=rule.runbook_url if rule else "",
    )


def _is_template(text: str) -> bool:
    return any(sign in text for sign in _TEMPLATE_SIGNS)
