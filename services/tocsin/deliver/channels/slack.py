"""Slack, by an incoming webhook: blocks for people, a plain text for notifications on a phone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import Field, SecretStr, field_validator

from tocsin.deliver.http import request
from tocsin.deliver.message import Fact, Message
from tocsin.deliver.protocol import ChannelType, Outgoing, Permanent, Receipt, Transport
from tocsin.deliver.settings import ChannelSettings
from tocsin.deliver.text import shortened, visible

# Slack refuses the whole message when one part is longer (header 150, section 3,000, 10 fields of 2,000).
_HEADER, _SECTION, _FIELD, _FIELDS = 150, 2_900, 1_900, 10


class SlackSettings(ChannelSettings):
    """The webhook, and how the message presents itself. The address is a credential."""

    webhook_url: SecretStr
    channel: str | None = Field(default=None, max_length=80)
    username: str | None = Field(default=None, max_length=80)
    icon_emoji: str | None = Field(default=None, max_length=80)

    @field_validator("webhook_url")
    @classmethod
    def _web_address(cls, value: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(value.get_secret_value())
            named = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            named = False
        if not named:
            raise ValueError("is not a web address; paste the https:// address that Slack shows for the webhook")
        return value


async def send(settings: SlackSettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Post the message; Slack acknowledges with the two letters `ok`."""
    answer = await request(
        transport,
        "POST",
        settings.webhook_url.get_secret_value(),
        body=orjson.dumps(payload(settings, outgoing.message)),
        headers={"Content-Type": "application/json; charset=utf-8"},
        timeout_s=settings.timeout_s,
    )
    if answer.text != "ok":
        raise Permanent(f"the receiver did not answer ok: {answer.text or 'nothing'}", status_code=answer.status)
    return Receipt("ok", answer.status)


def payload(settings: SlackSettings, message: Message) -> dict[str, Any]:
    """The JSON that Slack gets. All text from alerts is escaped, so that it can neither mention nor link."""
    state = message.state.upper()
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(f"{message.mark} {state}: {message.title}", _HEADER)},
        {"type": "section", "text": _marked("\n".join(escape(line) for line in message.summary), _SECTION)},
        {"type": "section", "fields": [_field(fact) for fact in message.facts[:_FIELDS]]},
    ]
    if message.labels:
        labels = "  ".join(f"`{_code(f'{label.name}={label.value}')}`" for label in message.labels)
        blocks.append({"type": "context", "elements": [_marked(labels, _FIELD)]})
    links = f"<{_address(message.link)}|Open the alert>"
    if message.runbook:
        links += f"  ·  <{_address(message.runbook)}|Runbook>"
    blocks.append({"type": "section", "text": _marked(links, _SECTION)})
    summary = message.summary[0] if message.summary else ""
    shown = {
        "text": shortened(escape(f"{message.mark} {message.subject}: {summary}"), _SECTION),
        "blocks": blocks,
        "channel": settings.channel,
        "username": settings.username,
        "icon_emoji": settings.icon_emoji,
        "unfurl_links": False,
    }
    return {name: value for name, value in shown.items() if value is not None}


def escape(text: str) -> str:
    """Slack's control characters `& < >`, and what cannot be seen."""
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(text: str) -> str:
    return escape(text).replace("`", "'").replace("\n", " ")


def _address(url: str) -> str:
    return escape(url).replace("|", "%7C").replace(" ", "%20").replace("\n", "%0A")


def _cut(text: str, limit: int) -> str:
    """At most `limit` characters, never ending in half an entity such as `&am`."""
    if len(text) <= limit:
        return text
    cut = shortened(text, limit)
    start = cut.rfind("&")
    return cut if start < 0 or ";" in cut[start:] else cut[:start] + "…"


def _plain(text: str, limit: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": _cut(escape(text), limit), "emoji": True}


def _marked(text: str, limit: int) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": _cut(text, limit)}


def _field(fact: Fact) -> dict[str, Any]:
    return _marked(f"*{fact.name}*\n{escape(fact.value)}", _FIELD)


def _secrets(config: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    return (("webhook_url",),) if config.get("webhook_url") else ()


def _destination(_config: Mapping[str, Any]) -> str:
    return ""  # the secret is the destination


CHANNEL = ChannelType(SlackSettings, send, _secrets, _destination)
