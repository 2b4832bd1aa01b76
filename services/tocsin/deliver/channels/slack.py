"""Slack: by an incoming webhook, or by a bot that edits its message as an alert changes, with a thread beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from tocsin.deliver import slack_bot
from tocsin.deliver.fields import BaseAddress, Key, SecretAddress, Texts
from tocsin.deliver.http import post_json
from tocsin.deliver.message import Message
from tocsin.deliver.protocol import (
    ChannelType,
    Outgoing,
    Permanent,
    Receipt,
    Transport,
    destination_fields,
    secret_fields,
)
from tocsin.deliver.settings import ChannelSettings
from tocsin.deliver.slack_blocks import blocks_of, text_of

_MENTION = re.compile(r"here|channel|everyone|[UW][A-Z0-9]{2,20}|S[A-Z0-9]{2,20}")


class SlackSettings(ChannelSettings):
    """The webhook, whose address is a credential, or a bot's token; and how the message presents itself.

    `mentions` are told of each firing alert: `here`, `channel`, the id of a user (`U...`) or of a user group (`S...`).
    """

    webhook_url: SecretAddress | None = None
    bot_token: Key | None = None
    channel: str | None = Field(default=None, max_length=80)
    username: str | None = Field(default=None, max_length=80)
    icon_emoji: str | None = Field(default=None, max_length=80)
    mentions: Texts = Field(default=(), max_length=20)
    thread: bool = Field(default=True, description="with a bot: whether each change is told in the message's thread")
    api_url: BaseAddress = "https://slack.com/api"

    @field_validator("mentions")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if not _MENTION.fullmatch(one):
                raise ValueError(f"{one[:40]!r} is no mention; write here, channel, a user's id or a user group's")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.webhook_url is None) == (self.bot_token is None):
            raise ValueError("needs webhook_url or bot_token, one of them")
        if self.bot_token and not self.channel:
            raise ValueError("bot_token needs channel; give the channel's id")
        return self


async def send(settings: SlackSettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Post the message. To a webhook Slack acknowledges with the two letters `ok`."""
    if settings.bot_token is not None:
        way = slack_bot.Way(settings.api_url, settings.bot_token.get_secret_value(), settings.timeout_s, transport)
        told = slack_bot.Told(payload(settings, outgoing.message), thread=settings.thread)
        return await slack_bot.tell(way, told, outgoing)
    assert settings.webhook_url is not None
    url = settings.webhook_url.get_secret_value()
    answer = await post_json(transport, url, payload(settings, outgoing.message), timeout_s=settings.timeout_s)
    if answer.text != "ok":
        raise Permanent(f"the receiver did not answer ok: {answer.text or 'nothing'}", status_code=answer.status)
    return Receipt("ok", answer.status)


def payload(settings: SlackSettings, message: Message) -> dict[str, Any]:
    """The JSON that Slack gets."""
    mentions = settings.mentions if message.calls else ()
    shown = {
        "text": text_of(message),
        "blocks": blocks_of(message, " ".join(map(_mention, mentions))),
        "channel": settings.channel,
        "username": settings.username,
        "icon_emoji": settings.icon_emoji,
        "unfurl_links": False,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _mention(one: str) -> str:
    if one in ("here", "channel", "everyone"):
        return f"<!{one}>"
    return f"<!subteam^{one}>" if one.startswith("S") else f"<@{one}>"


def _preview(settings: SlackSettings, outgoing: Outgoing) -> Mapping[str, Any]:
    return payload(settings, outgoing.message)


CHANNEL = ChannelType(
    SlackSettings,
    send,
    secret_fields("webhook_url", "bot_token"),
    destination_fields("api_url"),  # a webhook is its own destination
    _preview,
    remembers=True,
    # A webhook takes no pictures, and what is edited has its picture.
    pictured=lambda settings, outgoing: settings.bot_token is not None and not outgoing.earlier,
)
