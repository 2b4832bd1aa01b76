"""ntfy: a push message to phones that follow a topic."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from tocsin.deliver.fields import BaseAddress, Key
from tocsin.deliver.http import post_json
from tocsin.deliver.message import Message
from tocsin.deliver.protocol import ChannelType, Outgoing, Receipt, Transport, destination_fields, secret_fields
from tocsin.deliver.settings import ChannelSettings
from tocsin.deliver.text import one_line, shortened, visible

_TITLE, _MESSAGE_BYTES, _ACTIONS = 240, 3_900, 3  # beyond 4,096 bytes ntfy makes an attachment of the text
_PRIORITIES = {"critical": 5, "error": 4, "warning": 3, "info": 2}
_TAGS = {"critical": "rotating_light", "error": "warning", "warning": "warning", "info": "information_source"}
_TOPIC = re.compile(r"[-_A-Za-z0-9]{1,64}")


def _topic(value: str) -> str:
    if not _TOPIC.fullmatch(value):
        raise ValueError(f"{value[:70]!r} is not a topic; use letters, digits, - and _, at most 64")
    return value


class NtfySettings(ChannelSettings):
    """Server and topic, and a token or a user's password where the server wants one. On a public server whoever knows
    the topic reads along."""

    url: BaseAddress = "https://ntfy.sh"
    topic: Annotated[str, AfterValidator(_topic)]
    token: Key | None = None
    username: str | None = Field(default=None, min_length=1, max_length=256)
    password: SecretStr | None = None
    priority: Literal[1, 2, 3, 4, 5] | None = Field(default=None, description="else by the alert's severity")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together; add the other, or leave both out")
        if self.token and self.username:
            raise ValueError("token and username exclude each other; leave one out")
        return self

    @property
    def authorization(self) -> dict[str, str]:
        """The header that says who sends."""
        if self.token:
            return {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        if self.username is not None and self.password is not None:
            given = f"{self.username}:{self.password.get_secret_value()}".encode()
            return {"Authorization": f"Basic {base64.b64encode(given).decode()}"}
        return {}


async def send(settings: NtfySettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Publish the message."""
    told = payload(settings, outgoing.message)
    answer = await post_json(
        transport, settings.url, told, headers=settings.authorization, timeout_s=settings.timeout_s
    )
    return Receipt(f"message {answer.json().get('id', 'taken')}", answer.status)


def payload(settings: NtfySettings, message: Message) -> dict[str, Any]:
    """The JSON that ntfy publishes. Its text is plain: nothing in it is markup."""
    facts = [f"{fact.name}: {fact.value}" for fact in message.facts]
    lines = visible("\n".join([*message.summary, "", *facts, *message.labelled]))
    resolved = message.state == "resolved"
    return {
        "topic": settings.topic,
        "title": one_line(visible(f"{message.state.upper()}: {message.title}"), _TITLE),
        "message": _fitting(lines),
        "priority": settings.priority or (2 if resolved else _PRIORITIES.get(message.severity, 3)),
        "tags": ["white_check_mark" if resolved else _TAGS.get(message.severity, "warning")],
        "click": message.link,
        "actions": [
            {"action": "view", "label": link.label, "url": link.url, "clear": False}
            for link in message.links[:_ACTIONS]
        ],
    }


def _fitting(text: str) -> str:
    while len(text.encode()) > _MESSAGE_BYTES:
        text = shortened(text, len(text) - max(1, (len(text.encode()) - _MESSAGE_BYTES) // 4))
    return text


def _preview(settings: NtfySettings, outgoing: Outgoing) -> Mapping[str, Any]:
    return payload(settings, outgoing.message)


CHANNEL = ChannelType(NtfySettings, send, secret_fields("token", "password"), destination_fields("url"), _preview)
