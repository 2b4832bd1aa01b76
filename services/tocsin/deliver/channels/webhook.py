"""A webhook: the alert event as JSON, signed as Standard Webhooks describes it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
import orjson
from pydantic import BeforeValidator, Field, SecretStr, field_validator

from tocsin.deliver.http import request
from tocsin.deliver.protocol import ChannelType, Outgoing, Receipt, Transport
from tocsin.deliver.settings import ChannelSettings
from tocsin.schemas.alert import EVENT_TYPE_PREFIX
from tocsin.schemas.notification import Group, Notification

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE = re.compile(r"[\t\x20-\x7e]{0,4096}")
# These belong to the request itself, or to the signature.
_RESERVED = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect", "keep-alive"}
)
_RESERVED_PREFIXES = ("webhook-", "proxy-")
# Everything else may hold a credential: what is not known to be harmless is kept secret.
_HARMLESS = frozenset({"accept", "accept-language", "content-type", "user-agent", "x-source", "x-environment"})
_KEY_PREFIX = "whsec_"
_GROUP_TYPE_PREFIX = "tocsin.group."


class WebhookSettings(ChannelSettings):
    """Where the event is sent and how. `secret` is `whsec_` and base64, or any text."""

    url: str = Field(max_length=2_048)
    method: Annotated[
        Literal["POST", "PUT"], BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)
    ] = "POST"
    headers: dict[str, SecretStr] = Field(default_factory=dict, max_length=32)
    secret: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            named = bool(parts.hostname) and parts.port != 0
        except ValueError:
            named = False
        if (
            not named
            or parts.scheme not in ("https", "http")
            or not value.isascii()
            or re.search(r"[\s\x00-\x1f]", value)
        ):
            raise ValueError("is not a web address; write it like https://example.com/hook")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not hold credentials; put them into headers: {Authorization: ...}")
        return value

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, content in value.items():
            lowered = name.lower()
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"{name[:60]!r} is not a header name; use letters, digits and hyphens")
            if lowered in _RESERVED or lowered.startswith(_RESERVED_PREFIXES):
                raise ValueError(f"{name} is set by tocsin itself; leave it out")
            if not _VALUE.fullmatch(content.get_secret_value()):
                raise ValueError(f"the value of {name} has characters that a header cannot hold; use printable ASCII")
        return value

    @field_validator("secret")
    @classmethod
    def _key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            signing_key(value.get_secret_value())
        return value


def signing_key(secret: str) -> bytes:
    """The bytes to sign with. Raises ValueError when what follows `whsec_` is not base64."""
    if not secret.startswith(_KEY_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_KEY_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("after whsec_ must come base64; give the secret as its maker shows it") from None


def signature(key: bytes, identity: str, timestamp_s: int, body: bytes) -> str:
    """Standard Webhooks, version 1: HMAC-SHA256 over `id.timestamp.body`."""
    signed = hmac.new(key, b"%b.%d.%b" % (identity.encode(), timestamp_s, body), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def body_of(outgoing: Outgoing) -> bytes:
    """The same bytes for every repeat: the event with its type and time, and the message in words beside it."""
    notification, message = outgoing.notification, outgoing.message
    event = notification.event
    words = {"title": message.title, "subject": message.subject, "summary": list(message.summary), "link": message.link}
    data = {**msgspec.to_builtins(event), "message": words, "channel_id": notification.channel_id}
    if notification.test:
        data["test"] = True
    if notification.group is not None:
        return _of_group(notification, notification.group, data)
    return orjson.dumps({"type": EVENT_TYPE_PREFIX + event.type, "timestamp": event.updated_at, "data": data})


def _of_group(notification: Notification, group: Group, data: dict[str, Any]) -> bytes:
    """As of one alert, the worst of them, and beside it all alerts of the group."""
    data["group"] = {"key": notification.group_key, "status": group.status, **msgspec.to_builtins(group)}
    kind = f"{_GROUP_TYPE_PREFIX}{group.status}"
    return orjson.dumps({"type": kind, "timestamp": notification.created_at, "data": data})


async def send(settings: WebhookSettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Send the event; any 2xx answer is an acknowledgement."""
    body = body_of(outgoing)
    identity, timestamp_s = outgoing.notification.id, transport.clock.now_ms() // 1_000
    headers = {"Content-Type": "application/json"}
    for name, value in settings.headers.items():
        headers["Content-Type" if name.lower() == "content-type" else name] = value.get_secret_value()
    headers |= {"webhook-id": identity, "webhook-timestamp": str(timestamp_s)}
    if settings.secret and settings.secret.get_secret_value():
        key = signing_key(settings.secret.get_secret_value())
        headers["webhook-signature"] = signature(key, identity, timestamp_s, body)
    answer = await request(
        transport, settings.method, settings.url, body=body, headers=headers, timeout_s=settings.timeout_s
    )
    return Receipt(answer.text, answer.status)


def _secrets(config: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    paths: list[tuple[str, ...]] = [("secret",)] if config.get("secret") else []
    headers = config.get("headers")
    if isinstance(headers, Mapping):
        paths += [("headers", str(name)) for name, value in headers.items() if value and not _is_harmless(str(name))]
    return tuple(paths)


def _is_harmless(name: str) -> bool:
    return name.lower() in _HARMLESS


def _destination(config: Mapping[str, Any]) -> str:
    return str(config.get("url"))


CHANNEL = ChannelType(WebhookSettings, send, _secrets, _destination)
