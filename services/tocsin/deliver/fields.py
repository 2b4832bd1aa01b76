"""Fields that the settings of several channels have: web addresses, and texts that go into an address or a header."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

_UNSEEN = re.compile(r"[\s\x00-\x1f\x7f]")
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,512}")
_MAX_ADDRESS = 2_048


def is_web_address(text: str) -> bool:
    """Whether it is an `http` or `https` address that names a host, in ASCII and in one piece."""
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return named and parts.scheme in ("https", "http") and text.isascii() and not _UNSEEN.search(text)


def _listed(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _open_address(value: str) -> str:
    if not is_web_address(value):
        raise ValueError("is not a web address; write it like https://example.com/hook")
    parts = urlsplit(value)
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold credentials; they have fields of their own")
    return value


def _base_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.query or parts.fragment:
        raise ValueError("must not have a query or fragment; leave out what follows ? or #")
    return value.rstrip("/")


def _secret_address(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not is_web_address(text) or len(text) > _MAX_ADDRESS:
        raise ValueError("is not a web address; paste the https:// address of the webhook")
    return value


def _key(value: SecretStr) -> SecretStr:
    if not _PRINTABLE.fullmatch(value.get_secret_value()):
        raise ValueError("has characters that no key has, or is empty; paste it as its maker shows it")
    return value


WebAddress = Annotated[str, Field(max_length=_MAX_ADDRESS), AfterValidator(_open_address)]
"""An address without credentials."""

BaseAddress = Annotated[WebAddress, AfterValidator(_base_address)]
"""The beginning of addresses: no query, no slash at the end."""

SecretAddress = Annotated[SecretStr, AfterValidator(_secret_address)]
"""An address that is a credential, as those of incoming webhooks are."""

Key = Annotated[SecretStr, AfterValidator(_key)]
"""A token or key: printable ASCII without spaces."""

Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""A list, or one text with commas."""
