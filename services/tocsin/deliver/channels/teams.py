"""Microsoft Teams: an adaptive card to the webhook of a workflow.

All text from alerts stands in text runs, which are never read as Markdown, so it can neither link nor mention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from tocsin.deliver.fields import SecretAddress
from tocsin.deliver.http import post_json
from tocsin.deliver.message import Message
from tocsin.deliver.protocol import ChannelType, Outgoing, Receipt, Transport, destination_fields, secret_fields
from tocsin.deliver.settings import ChannelSettings
from tocsin.deliver.text import shortened, visible

_CARD = "application/vnd.microsoft.card.adaptive"
_SCHEMA = "http://adaptivecards.io/schemas/adaptive-card.json"
_TITLE, _LINE, _LINES, _LABELS = 250, 1_000, 24, 40
_MAX_BYTES = 27_000  # Teams takes 28 KB
_STYLES = {"critical": "attention", "error": "attention", "warning": "warning", "info": "accent"}


class TeamsSettings(ChannelSettings):
    """The webhook that a Teams workflow shows. The address is a credential."""

    webhook_url: SecretAddress


async def send(settings: TeamsSettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Post the card; a workflow answers 202."""
    url = settings.webhook_url.get_secret_value()
    answer = await post_json(transport, url, payload(outgoing.message), timeout_s=settings.timeout_s)
    return Receipt(answer.text or "taken", answer.status)


def payload(message: Message) -> dict[str, Any]:
    """The message with its card, short enough for Teams."""
    for lines in (_LINES, 8, 2):
        body = _payload(message, lines)
        if len(orjson.dumps(body)) <= _MAX_BYTES:
            break
    return body


def _payload(message: Message, lines: int) -> dict[str, Any]:
    style = "good" if message.state == "resolved" else _STYLES.get(message.severity, "warning")
    heading = _runs(_run(f"{message.mark} {message.state.upper()}: {message.title}", _TITLE, weight="Bolder"))
    facts = [
        _runs(_run(f"{fact.name}: ", _LINE, weight="Bolder"), _run(fact.value, _LINE)) for fact in message.facts[:lines]
    ]
    labels = message.labelled[:_LABELS]
    where = [_runs(_run("  ".join(labels), _LINE, fontType="Monospace"))] if labels else []
    card = {
        "$schema": _SCHEMA,
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [
            {"type": "Container", "style": style, "bleed": True, "items": [{**heading, "spacing": "None"}]},
            *(_runs(_run(line, _LINE)) for line in message.summary[:lines]),
            *facts,
            *where,
        ],
        "actions": [{"type": "Action.OpenUrl", "title": link.label, "url": link.url} for link in message.links],
    }
    return {"type": "message", "attachments": [{"contentType": _CARD, "contentUrl": None, "content": card}]}


def _runs(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, limit: int, **look: str) -> dict[str, Any]:
    return {"type": "TextRun", "text": shortened(visible(text), limit) or " ", **look}


def _preview(_settings: TeamsSettings, outgoing: Outgoing) -> Mapping[str, Any]:
    return payload(outgoing.message)


CHANNEL = ChannelType(TeamsSettings, send, secret_fields("webhook_url"), destination_fields(), _preview)
