"""Discord, by a channel's webhook: one embed, with the chart where there is one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import Field, field_validator

from tocsin.deliver.fields import SecretAddress, Texts
from tocsin.deliver.http import JSON_HEADERS, Part, form, request
from tocsin.deliver.message import Message
from tocsin.deliver.protocol import ChannelType, Outgoing, Receipt, Transport, destination_fields, secret_fields
from tocsin.deliver.settings import ChannelSettings
from tocsin.deliver.text import shortened, visible

_TITLE, _DESCRIPTION, _NAME, _VALUE, _FIELDS, _LABELS = 256, 3_500, 256, 100, 12, 800
_SPECIAL = re.compile(r"([\\`*_~|>#\[\]()<@:+\-.!=])")
_MENTION = re.compile(r"everyone|here|(role|user):[0-9]{15,21}")
_CHART = "chart.png"


class DiscordSettings(ChannelSettings):
    """The webhook, which is a credential; `mentions` are told of each firing alert: `here`, `role:ID`, `user:ID`."""

    webhook_url: SecretAddress
    username: str | None = Field(default=None, min_length=1, max_length=80)
    mentions: Texts = Field(default=(), max_length=20)

    @field_validator("mentions")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if not _MENTION.fullmatch(one):
                raise ValueError(f"{one[:40]!r} is no mention; write here, everyone, role:ID or user:ID")
        return value


async def send(settings: DiscordSettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Post the message, and wait until Discord has it."""
    message, url = outgoing.message, settings.webhook_url.get_secret_value()
    body, headers = orjson.dumps(payload(settings, message)), JSON_HEADERS
    if message.chart:
        told = Part("payload_json", body, "application/json")
        body, headers = form([told, Part("files[0]", message.chart, "image/png", _CHART)])
    wait = "&wait=true" if "?" in url else "?wait=true"
    answer = await request(transport, "POST", url + wait, body=body, headers=headers, timeout_s=settings.timeout_s)
    return Receipt(f"message {answer.json().get('id', 'taken')}", answer.status)


def payload(settings: DiscordSettings, message: Message) -> dict[str, Any]:
    """The JSON that Discord gets. Text from alerts is escaped, and nobody is mentioned but by the settings."""
    links = "  ·  ".join(f"[{link.label}](<{link.url}>)" for link in message.links)
    summary = shortened("\n".join(escape(line) for line in message.summary), _DESCRIPTION - len(links) - 2)
    embed: dict[str, Any] = {
        "title": shortened(escape(f"{message.state.upper()}: {message.title}"), _TITLE),
        "url": message.link,
        "description": f"{summary}\n\n{links}",
        "color": int(message.colour.removeprefix("#"), 16),
        "fields": [
            {"name": shortened(fact.name, _NAME), "value": shortened(escape(fact.value), _VALUE) or "-", "inline": True}
            for fact in message.facts[:_FIELDS]
        ],
    }
    if message.labels:
        embed["footer"] = {"text": shortened(visible("  ".join(message.labelled)), _LABELS)}
    if message.chart:
        embed["image"] = {"url": f"attachment://{_CHART}"}
    mentions = settings.mentions if message.calls else ()
    told = {
        "content": " ".join(_mention(one) for one in mentions) or None,
        "username": settings.username,
        "embeds": [embed],
        "allowed_mentions": _allowed(mentions),
    }
    return {name: value for name, value in told.items() if value is not None}


def escape(text: str) -> str:
    """Everything that Discord could read as Markdown or as a mention."""
    return _SPECIAL.sub(r"\\\1", visible(text))


def _mention(one: str) -> str:
    kind, _, identity = one.partition(":")
    return {"role": f"<@&{identity}>", "user": f"<@{identity}>"}.get(kind, f"@{one}")


def _allowed(mentions: tuple[str, ...]) -> dict[str, Any]:
    named = {
        kind: [one.partition(":")[2] for one in mentions if one.startswith(f"{kind}:")] for kind in ("role", "user")
    }
    parse = ["everyone"] if {"everyone", "here"} & set(mentions) else []
    return {"parse": parse, "roles": named["role"], "users": named["user"]}


def _preview(settings: DiscordSettings, outgoing: Outgoing) -> Mapping[str, Any]:
    return payload(settings, outgoing.message)


CHANNEL = ChannelType(
    DiscordSettings,
    send,
    secret_fields("webhook_url"),
    destination_fields(),
    _preview,
    pictured=lambda _settings, _outgoing: True,
)
