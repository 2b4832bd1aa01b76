"""A message as Slack's blocks: all text from alerts is escaped, so that it can neither mention nor link. Pure."""

from __future__ import annotations

from typing import Any

from tocsin.deliver.message import Action, Fact, Message
from tocsin.deliver.text import shortened, visible

# Slack refuses the whole message when one part is longer (header 150, section 3,000, 10 fields of 2,000).
_HEADER, _SECTION, _FIELD, _FIELDS = 150, 2_900, 1_900, 10


def blocks_of(message: Message, mention: str = "") -> list[dict[str, Any]]:
    """The blocks; `mention` is Slack markup that the channel's settings allow."""
    state = message.state.upper()
    lines = "\n".join([*([mention] if mention else []), *(escape(line) for line in message.summary)])
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(f"{message.mark} {state}: {message.title}", _HEADER)},
        {"type": "section", "text": _marked(lines, _SECTION)},
        {"type": "section", "fields": [_field(fact) for fact in message.facts[:_FIELDS]]},
    ]
    if message.labels:
        labels = "  ".join(f"`{_code(label)}`" for label in message.labelled)
        blocks.append({"type": "context", "elements": [_marked(labels, _FIELD)]})
    acting = {action.url for action in message.actions}
    links = "  ·  ".join(f"<{_address(link.url)}|{link.label}>" for link in message.links if link.url not in acting)
    blocks.append({"type": "section", "text": _marked(links, _SECTION)})
    if message.actions:
        blocks.append({"type": "actions", "elements": [_button(action) for action in message.actions]})
    return blocks


def text_of(message: Message) -> str:
    """The same in one line, for notifications on a phone."""
    summary = message.summary[0] if message.summary else ""
    return shortened(escape(f"{message.mark} {message.subject}: {summary}"), _SECTION)


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
    # Verbatim, else Slack makes links of addresses, and mentions of names, that stand in labels.
    return {"type": "mrkdwn", "text": _cut(text, limit), "verbatim": True}


def _button(action: Action) -> dict[str, Any]:
    """A button that leads to a page, which asks before it does anything."""
    text = {"type": "plain_text", "text": action.label, "emoji": False}
    return {"type": "button", "text": text, "url": action.url, "action_id": action.label.partition(" ")[0].lower()}


def _field(fact: Fact) -> dict[str, Any]:
    return _marked(f"*{fact.name}*\n{escape(fact.value)}", _FIELD)
