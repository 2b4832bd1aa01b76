"""A webhook: the alert event as JSON, or Alertmanager's form of it, signed as Standard Webhooks describes it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import BeforeValidator, Field, SecretStr, field_validator

from tocsin.deliver.alertmanager_body import alertmanager_body
from tocsin.deliver.event_body import event_body
from tocsin.deliver.fields import WebAddress
from tocsin.deliver.http import request
from tocsin.deliver.protocol import ChannelType, Outgoing, Receipt, Transport, destination_fields
from tocsin.deliver.settings import ChannelSettings

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


class WebhookSettings(ChannelSettings):
    """Where the event is sent and how. `secret` is `whsec_` and base64, or any text; several with spaces between them
    sign all at once, while a receiver changes over."""

    url: WebAddress
    method: Annotated[
        Literal["POST", "PUT"], BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)
    ] = "POST"
    headers: dict[str, SecretStr] = Field(default_factory=dict, max_length=32)
    secret: SecretStr | None = None
    format: Literal["tocsin", "alertmanager"] = "tocsin"
    max_alerts: int = Field(default=0, ge=0, le=200, description="most alerts in Alertmanager's form; 0 is all")

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
            signing_keys(value.get_secret_value())
        return value


def signing_keys(secret: str) -> list[bytes]:
    """The keys to sign with. Raises ValueError when what follows `whsec_` is not base64."""
    secrets = secret.split() if secret.startswith(_KEY_PREFIX) else [secret]
    return [_signing_key(one) for one in secrets if one]


def _signing_key(secret: str) -> bytes:
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


def body_of(settings: WebhookSettings, outgoing: Outgoing) -> bytes:
    """The same bytes for every repeat."""
    if settings.format == "alertmanager":
        return orjson.dumps(alertmanager_body(outgoing, settings.max_alerts))
    return orjson.dumps(event_body(outgoing))


async def send(settings: WebhookSettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Send the event; any 2xx answer is an acknowledgement."""
    body = body_of(settings, outgoing)
    identity, timestamp_s = outgoing.notification.id, transport.clock.now_ms() // 1_000
    headers = {"Content-Type": "application/json"}
    for name, value in settings.headers.items():
        headers["Content-Type" if name.lower() == "content-type" else name] = value.get_secret_value()
    headers |= {"webhook-id": identity, "webhook-timestamp": str(timestamp_s)}
    if settings.secret and settings.secret.get_secret_value():
        keys = signing_keys(settings.secret.get_secret_value())
        headers["webhook-signature"] = " ".join(signature(key, identity, timestamp_s, body) for key in keys)
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


def _preview(settings: WebhookSettings, outgoing: Outgoing) -> Mapping[str, Any]:
    return {"method": settings.method, "body": orjson.loads(body_of(settings, outgoing))}


CHANNEL = ChannelType(WebhookSettings, send, _secrets, destination_fields("url"), _preview, digests=False)
