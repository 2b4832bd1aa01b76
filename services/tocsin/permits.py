"""Permits: what the address of a link in a message allows, signed, for a time, and once.

`/act/<payload>.<signature>`, both in base64 without padding: who has the address may do that one thing about the alerts
as the message told of them, without a token of the API.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final, Literal

import msgspec

from tocsin.schemas.labels import stable_id

PATH: Final = "/act/"
PURPOSE: Final = "links in messages"
MASK: Final = "********"
_IN_TEXT: Final = re.compile(re.escape(PATH) + r"[A-Za-z0-9_.-]+")
_MAX_CHARS: Final = 2_048
_VERSION: Final = 1
Act = Literal["acknowledge", "silence"]


class Subject(msgspec.Struct, frozen=True, array_like=True):
    """An alert as a message told of it: the start of its episode (epoch ms), and the number of its last event."""

    fingerprint: str
    starts_ms: int
    sequence: int


class Permit(msgspec.Struct, frozen=True, array_like=True):
    """What may be done, about which alerts, until when (epoch ms), and the channel whose message has the link."""

    version: Literal[1]
    act: Act
    subjects: tuple[Subject, ...]
    until_ms: int
    channel_id: str

    @property
    def id(self) -> str:
        """The same whenever the link is used."""
        return stable_id("permit", msgspec.json.encode(self).decode())


class NoPermit(Exception):
    """The address allows nothing: it is not ours, was altered, or its time is over. The text is fit for users."""


class Permits:
    """Signs permits, and knows its own."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._decoder = msgspec.msgpack.Decoder(Permit)

    def token(self, permit: Permit) -> str:
        """The last part of a link's path."""
        payload = _text(msgspec.msgpack.encode(permit))
        return f"{payload}.{_text(self._signature(payload))}"

    def permit(self, token: str, now_ms: int) -> Permit:
        """What a token permits. Raises NoPermit."""
        payload, _, signature = token.partition(".")
        given = _bytes(signature)
        if len(token) > _MAX_CHARS or not hmac.compare_digest(given, self._signature(payload)):
            raise NoPermit("This link is not valid: it is not complete, or comes from elsewhere.")
        try:
            found = self._decoder.decode(_bytes(payload))
        except msgspec.DecodeError:
            raise NoPermit("This link was made by another version of tocsin.") from None
        if now_ms >= found.until_ms:
            raise NoPermit("This link is too old: its time is over.")
        return found

    def _signature(self, payload: str) -> bytes:
        return hmac.new(self._key, payload.encode("utf-8", "replace"), hashlib.sha256).digest()


def new_permit(act: Act, subjects: tuple[Subject, ...], until_ms: int, channel_id: str) -> Permit:
    """A permit of this version."""
    return Permit(_VERSION, act, subjects, until_ms, channel_id)


def without_tokens(text: str) -> str:
    """The text with every link's token masked, for what is kept or shown."""
    return _IN_TEXT.sub(PATH + MASK, text)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """Empty for what is no base64, or is not written as we write it."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
    return raw if _text(raw) == text else b""
