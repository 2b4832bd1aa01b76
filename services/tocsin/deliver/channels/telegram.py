"""Telegram, by a bot: a message for each event, those about one alert as replies to its first, with the chart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape as escape_html
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from tocsin.deliver.fields import BaseAddress
from tocsin.deliver.http import Answer, Part, form, post_json, request
from tocsin.deliver.message import Message
from tocsin.deliver.protocol import (
    Authentication,
    ChannelType,
    DeliveryError,
    Outgoing,
    Permanent,
    Receipt,
    Transport,
    destination_fields,
    secret_fields,
)
from tocsin.deliver.settings import ChannelSettings
from tocsin.deliver.text import shortened, visible

_LINE, _LINES, _TEXT = 600, 24, 3_900  # Telegram takes 4,096 characters
_WORD_JOINER = "\u2060"
_NOT_FOUND = 404
_BOT_TOKEN = re.compile(r"[0-9]{3,20}:[A-Za-z0-9_-]{20,100}")
_CHAT = re.compile(r"-?[0-9]{1,20}|@[A-Za-z][A-Za-z0-9_]{2,63}")


def _bot_token(value: SecretStr) -> SecretStr:
    if not _BOT_TOKEN.fullmatch(value.get_secret_value()):
        raise ValueError("is not a bot's token; paste it as BotFather shows it, like 123456:ABC-DEF...")
    return value


def _chat(value: object) -> str:
    text = str(value)
    if not _CHAT.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is not a chat; write its number, or @name of a public one")
    return text


class TelegramSettings(ChannelSettings):
    """The bot's token, and the chat: its number, or `@name` of a public one; `message_thread_id` is a topic in it."""

    bot_token: Annotated[SecretStr, AfterValidator(_bot_token)]
    chat_id: Annotated[str, BeforeValidator(_chat)]
    message_thread_id: int | None = Field(default=None, ge=1)
    quiet_resolved: bool = Field(default=False, description="the end of an alert makes no sound")
    url: BaseAddress = "https://api.telegram.org"


async def send(settings: TelegramSettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Send the text, then the chart, which is left out if Telegram does not take it."""
    answer = await _called(settings, transport, "sendMessage", payload(settings, outgoing))
    number = str((answer.json().get("result") or {}).get("message_id", ""))
    if outgoing.message.chart:
        about = {"chat_id": settings.chat_id, "disable_notification": "true", "reply_parameters": _reply(number)}
        parts = [Part(name, text.encode()) for name, text in about.items()]
        body, headers = form([*parts, Part("photo", outgoing.message.chart, "image/png", "chart.png")])
        try:
            await request(
                transport, "POST", _address(settings, "sendPhoto"),
                body=body, headers=headers, timeout_s=settings.timeout_s,
            )  # fmt: skip
        except DeliveryError as error:
            return Receipt(f"message {number}", answer.status, f"without its chart: {error.detail}", {"id": number})
    return Receipt(f"message {number}", answer.status, reference={"id": number})


async def _called(settings: TelegramSettings, transport: Transport, name: str, told: Mapping[str, Any]) -> Answer:
    try:
        answer = await post_json(transport, _address(settings, name), told, timeout_s=settings.timeout_s)
    except Permanent as error:
        if error.status_code == _NOT_FOUND:
            raise Authentication(f"{error.detail} (check bot_token)", status_code=_NOT_FOUND) from None
        raise
    if answer.json().get("ok") is not True:
        raise Permanent(f"the receiver did not answer ok: {answer.text or 'nothing'}", status_code=answer.status)
    return answer


def _address(settings: TelegramSettings, name: str) -> str:
    return f"{settings.url}/bot{settings.bot_token.get_secret_value()}/{name}"


def payload(settings: TelegramSettings, outgoing: Outgoing) -> dict[str, Any]:
    """The JSON of `sendMessage`."""
    message = outgoing.message
    # Telegram keeps a button only for an address that others can reach.
    buttons = [[{"text": link.label, "url": link.url}] for link in message.links]
    told: dict[str, Any] = {
        "chat_id": settings.chat_id,
        "message_thread_id": settings.message_thread_id,
        "text": text_of(message),
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
        "disable_notification": settings.quiet_resolved and message.state == "resolved",
        "reply_markup": {"inline_keyboard": buttons},
    }
    if outgoing.earlier:
        told["reply_parameters"] = {"message_id": int(outgoing.earlier["id"]), "allow_sending_without_reply": True}
    return {name: value for name, value in told.items() if value is not None}


def _reply(number: str) -> str:
    return orjson.dumps({"message_id": int(number or 0), "allow_sending_without_reply": True}).decode()


def text_of(message: Message) -> str:
    """The message as Telegram's HTML; lines are left out at the end until it fits."""
    head = f"{message.mark} <b>{escape(f'{message.state.upper()}: {message.title}')}</b>"
    lines = [escape(line) for line in message.summary[:_LINES]]
    facts = [f"<b>{escape(fact.name)}:</b> {escape(fact.value)}" for fact in message.facts]
    labels = [f"<code>{escape(label)}</code>" for label in message.labelled[:_LINES]]
    found = [head, *lines, "", *facts, *labels]
    size = 0
    for place, line in enumerate(found):
        size += len(line) + 1
        if size > _TEXT:
            return "\n".join([*found[:place], "…"])
    return "\n".join(found)


def escape(text: str) -> str:
    """Telegram's HTML, with a break after @ so that nobody is mentioned."""
    plain = shortened(visible(text), _LINE).replace("@", f"@{_WORD_JOINER}")
    return escape_html(plain, quote=False)


def _preview(settings: TelegramSettings, outgoing: Outgoing) -> Mapping[str, Any]:
    return payload(settings, outgoing)


CHANNEL = ChannelType(
    TelegramSettings,
    send,
    secret_fields("bot_token"),
    destination_fields("url"),
    _preview,
    remembers=True,
    pictured=lambda _settings, _outgoing: True,
)
