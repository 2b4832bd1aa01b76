"""Opsgenie: one alert by alias, created, acknowledged and closed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tocsin.deliver.fields import BaseAddress, Key, Texts
from tocsin.deliver.http import post_json
from tocsin.deliver.protocol import ChannelType, Outgoing, Receipt, Transport, destination_fields, secret_fields
from tocsin.deliver.settings import ChannelSettings
from tocsin.deliver.text import one_line, shortened, visible

_MESSAGE, _DESCRIPTION, _DETAIL, _NOTE = 130, 15_000, 1_000, 25_000
_PRIORITIES = {"critical": "P1", "error": "P2", "warning": "P3", "info": "P5"}
_CARE = {"acknowledged": "acknowledge", "unacknowledged": "unacknowledge"}
Step = tuple[str, str, dict[str, Any]]
"""Method, path and body of one request."""


class Responder(BaseModel):
    """Who is to respond, by name or id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["team", "user", "escalation", "schedule"]
    name: str | None = Field(default=None, min_length=1, max_length=256)
    username: str | None = Field(default=None, min_length=1, max_length=256)
    id: str | None = Field(default=None, min_length=1, max_length=256)

    @model_validator(mode="after")
    def _named(self) -> Responder:
        if sum(value is not None for value in (self.name, self.username, self.id)) != 1:
            raise ValueError("needs exactly one of name, username (of a user) and id")
        return self


class OpsgenieSettings(ChannelSettings):
    """The key of an API integration, and who responds; `url` is https://api.eu.opsgenie.com in the EU."""

    api_key: Key
    url: BaseAddress = "https://api.opsgenie.com"
    responders: tuple[Responder, ...] = Field(default=(), max_length=50)
    tags: Texts = Field(default=(), max_length=20)


async def send(settings: OpsgenieSettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Send what belongs to the event; a step that an earlier attempt did is not done again."""
    receipt = Receipt()
    for method, path, body in steps(settings, outgoing):
        if path in outgoing.settled:
            continue
        answer = await post_json(
            transport,
            settings.url + path,
            body,
            method=method,
            headers={"Authorization": f"GenieKey {settings.api_key.get_secret_value()}"},
            timeout_s=settings.timeout_s,
        )
        outgoing.settled.add(path)
        receipt = Receipt(answer.text, answer.status)
    return receipt


def steps(settings: OpsgenieSettings, outgoing: Outgoing) -> list[Step]:
    """The requests, in order."""
    notification, event = outgoing.notification, outgoing.notification.event
    alias = outgoing.subject_key
    source = {"source": "tocsin", "user": "tocsin"}
    note = shortened(visible("\n".join(outgoing.message.summary)), _NOTE)
    if notification.status == "resolved":
        return [("POST", f"/v2/alerts/{alias}/close?identifierType=alias", {**source, "note": note})]
    said = notification.group.reason if notification.group is not None else event.type
    if said in _CARE and not event.is_said_again:
        return [("POST", f"/v2/alerts/{alias}/{_CARE[said]}?identifierType=alias", {**source, "note": note})]
    create: Step = ("POST", "/v2/alerts", _create(settings, outgoing, alias))
    if event.type != "changed":
        return [create]
    # A repeat of what is open only counts up: its priority has a request of its own.
    priority = {"priority": _PRIORITIES.get(event.severity, "P3")}
    return [create, ("PUT", f"/v2/alerts/{alias}/priority?identifierType=alias", priority)]


def _create(settings: OpsgenieSettings, outgoing: Outgoing, alias: str) -> dict[str, Any]:
    message, event = outgoing.message, outgoing.notification.event
    described = [*message.summary, "", *(f"{link.label}: {link.url}" for link in message.links)]
    return {
        "message": one_line(visible(message.subject), _MESSAGE),
        "alias": alias,
        "description": shortened(visible("\n".join(described)), _DESCRIPTION),
        "responders": [one.model_dump(exclude_none=True) for one in settings.responders],
        "tags": [*settings.tags, event.severity],
        "details": {
            **{fact.name: visible(fact.value)[:_DETAIL] for fact in message.facts},
            **{label.name: visible(label.value)[:_DETAIL] for label in message.labels},
        },
        "entity": one_line(event.labels.get("service", "") or event.rule_id, 512),
        "source": "tocsin",
        "priority": _PRIORITIES.get(event.severity, "P3"),
    }


def _preview(settings: OpsgenieSettings, outgoing: Outgoing) -> Mapping[str, Any]:
    named = ("method", "path", "body")
    return {"requests": [dict(zip(named, step, strict=True)) for step in steps(settings, outgoing)]}


CHANNEL = ChannelType(
    OpsgenieSettings,
    send,
    secret_fields("api_key"),
    destination_fields("url"),
    _preview,
    digests=False,
    keeps_incidents=True,
)
