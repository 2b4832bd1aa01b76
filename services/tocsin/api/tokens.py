"""The first administrator's token: as set, else generated at the first start and kept in the data directory."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from tocsin.context import Context

TOKEN_FILE = "api.token"  # noqa: S105 - a file name
_BYTES = 32


def load_or_create_token(context: Context) -> tuple[str, bool]:
    """The token, and whether it was made just now."""
    given = context.settings.api.token
    if given is not None and given.get_secret_value():
        return given.get_secret_value(), False
    path = context.data_dir / TOKEN_FILE
    found = _read(path)
    if found:
        return found, False
    written = path.with_name(f"{TOKEN_FILE}.{os.getpid()}")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secrets.token_urlsafe(_BYTES) + "\n")
    try:
        os.link(written, path)  # unlike a rename, fails where another process was quicker
        is_new = True
    except FileExistsError:
        is_new = False
    finally:
        written.unlink()
    return _read(path), is_new


class TokenCheck:
    """Compares tokens in a time that tells nothing about them."""

    def __init__(self, token: str) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()

    def accepts(self, header: str) -> bool:
        """Whether an `Authorization` header carries the token."""
        scheme, _, token = header.partition(" ")
        given = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        return scheme.lower() == "bearer" and hmac.compare_digest(given, self._digest)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except FileNotFoundError:
        return ""
