"""What a channel would send, before it does: for a sample alert, one of a rule, or one that was there."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import msgspec
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tocsin.agents.clock import clock_ms
from tocsin.api.problems import Problem, invalid, not_found
from tocsin.api.requests import json_body, only, validated
from tocsin.api.state import Api, answer, api_of
from tocsin.deliver.channels import check_config
from tocsin.deliver.composer import Composer, base_url
from tocsin.deliver.credentials import ConfigRefused, config_errors, opened_config, seal_config
from tocsin.deliver.preview import preview
from tocsin.deliver.samples import SAMPLE_RULE, sample_event
from tocsin.engine.templates import template_problems
from tocsin.projection.queries import one_document, timeline
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.problems import FieldError, Wrong
from tocsin.schemas.rule import Id, Rule
from tocsin.vault import VaultError


class PreviewBody(BaseModel):
    """Which channel and which alert: `channel` is one that is there, `draft` one as it would be written, in which a
    credential given as its mask is the stored one. `alert` is a fingerprint, `rule` one that is there, `draft_rule` one
    as it would be written; else it is a sample."""

    model_config = ConfigDict(extra="forbid")

    channel: Id | None = None
    draft: Channel | None = None
    alert: str | None = Field(default=None, max_length=64)
    rule: Id | None = None
    draft_rule: Rule | None = None
    template: str | None = Field(default=None, max_length=8_192, description="instead of the channel's")
    resolved: bool = Field(default=False, description="the end of a sample alert")

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.channel is None) == (self.draft is None):
            raise Wrong((("channel",), "give the id of a channel, or a draft; one of them"))
        if sum(one is not None for one in (self.alert, self.rule, self.draft_rule)) > 1:
            raise Wrong((("alert",), "goes neither with rule nor with draft_rule; give one of them"))
        return self


async def show(request: web.Request) -> web.Response:
    """What a channel would send for an alert, in its own form, and what is wrong with its templates; sends nothing."""
    only(request, ())
    api = api_of(request)
    body = validated(PreviewBody, await json_body(request))
    event = await _event(api, body)
    channel = body.draft or await _stored(api, str(body.channel))
    stored = await one_document(api.database, "channels", channel.id) if body.draft else None
    before = stored.read(Channel) if stored else None
    # A thread: templates and pages take some milliseconds.
    return answer(await asyncio.to_thread(_shown, api, body, channel, event, before))


def _shown(api: Api, body: PreviewBody, channel: Channel, event: AlertEvent, before: Channel | None) -> dict[str, Any]:
    prefix = "draft." if body.draft else ""
    try:
        if body.draft:
            channel = seal_config(channel, api.vault, before)
        config = opened_config(channel, api.vault)
        if body.template is not None:
            config["template"] = body.template
        settings = check_config(channel.type, config)
    except ConfigRefused as refused:
        raise invalid([FieldError(f"{prefix}{one.field}", one.message) for one in refused.errors]) from None
    except ValidationError as error:
        raise invalid([_about_template(one) for one in config_errors(channel.type, error)]) from None
    except VaultError as error:
        raise Problem(409, f"config.{error}") from None
    found = preview(channel, settings, event, Composer(base_url(api.context)))
    return {
        "channel": channel.id,
        "type": channel.type,
        "alert": {"fingerprint": event.fingerprint, "rule_id": event.rule_id, "status": event.status},
        "text_by": found.text_by,
        "problems": [{"field": one.field, "message": one.message} for one in found.problems],
        "sent": found.sent,
    }


def _about_template(error: FieldError) -> FieldError:
    """The template that is tried has a field of its own."""
    return FieldError("template", error.message) if error.field == "config.template" else error


async def _stored(api: Api, channel_id: str) -> Channel:
    found = await one_document(api.database, "channels", channel_id)
    if found is None:
        raise not_found("channel", channel_id)
    return found.parse(Channel)


async def _event(api: Api, body: PreviewBody) -> AlertEvent:
    if body.alert is not None:
        events = await timeline(api.database, body.alert, 1)
        if not events:
            raise not_found("alert", body.alert)
        return msgspec.convert(events[-1], AlertEvent)
    rule = body.draft_rule or SAMPLE_RULE
    problems = [FieldError(f"draft_rule.{one.field}", one.message) for one in template_problems(rule)]
    if problems:
        raise invalid(problems)
    if body.rule is not None:
        stored = await one_document(api.database, "rules", body.rule)
        if stored is None:
            raise not_found("rule", body.rule)
        rule = stored.parse(Rule)
    return sample_event(rule, clock_ms(), resolved=body.resolved)
