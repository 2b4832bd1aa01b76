"""The first administrator's token: as set, else generated at the first start and kept in the data directory."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from tocsin.context import Context
from tocsin.vault import VaultError, read_private, write_private

TOKEN_FILE = "api.token"  # noqa: S105 - a file name
_BYTES = 32
_SHORTEST = 16


def load_or_create_token(context: Context) -> tuple[str, bool]:
    """The token, and whether it was made just now.

    Raises VaultError when the file is empty, too short, a link, or open to others.
    """
    given = context.settings.api.token
    if given is not None and given.get_secret_value().strip():
        return given.get_secret_value().strip(), False
    path = context.data_dir / TOKEN_FILE
    try:
        context.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return _read(path), False
        except FileNotFoundError:
            is_new = write_private(path, secrets.token_urlsafe(_BYTES).encode() + b"\n")
            return _read(path), is_new
    except OSError as error:
        raise VaultError(f"{path}: the API's token cannot be kept there: {error.strerror}") from None


class TokenCheck:
    """Compares tokens in a time that tells nothing about them. Raises ValueError for an empty one."""

    def __init__(self, token: str) -> None:
        if not token.strip():
            raise ValueError("an empty token would let everybody in")
        self._digest = hashlib.sha256(token.encode()).digest()

    def accepts(self, header: str) -> bool:
        """Whether an `Authorization` header carries the token."""
        scheme, _, token = header.partition(" ")
        given = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        return scheme.lower() == "bearer" and hmac.compare_digest(given, self._digest)


def _read(path: Path) -> str:
    found = read_private(path).decode("utf-8", "replace").strip()
    if len(found) < _SHORTEST:
        mend = "delete the file, and the next start makes a new one"
        raise VaultError(f"{path}: {len(found)} characters are no token, which has at least {_SHORTEST}; {mend}")
    return found
