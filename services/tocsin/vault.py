"""Credentials at rest: sealed with AES-GCM, bound to the channel and field they belong to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PREFIX = "sealed:v1:"
KEY_FILE = "secret.key"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_MAX_FILE_BYTES = 1_024
# A setting may be any text, a weak one too: scrypt with 32 MiB makes guessing dear, and costs 0.1 s once.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**15, 8, 1
_SALT = b"tocsin channel credentials v1"


class VaultError(Exception):
    """A secret that cannot be opened, or a key or token that cannot be used; one line that names the mend."""


class Vault:
    """Seals and opens texts with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise VaultError(f"the secret key has {len(key)} bytes, not {_KEY_BYTES}")
        self._key = key
        self._cipher = AESGCM(key)
        self.key_id = hashlib.sha256(b"tocsin key id\0" + key).hexdigest()[:8]

    def derived(self, purpose: str) -> bytes:
        """A key for another purpose, from which nothing is learnt about this one or about those for others."""
        return hmac.new(self._key, f"tocsin derived key\0{purpose}".encode(), hashlib.sha256).digest()

    def seal(self, channel_id: str, field: str, text: str) -> str:
        """The text as `sealed:v1:<key id>:<base64>`, to be opened for this channel and field only."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        closed = self._cipher.encrypt(nonce, text.encode(), _bound_to(channel_id, field))
        return f"{PREFIX}{self.key_id}:{base64.b64encode(nonce + closed).decode()}"

    def open(self, channel_id: str, field: str, sealed: str) -> str:
        """The text inside. Raises VaultError when the key is another one, or the secret was moved or altered."""
        if not is_sealed(sealed):
            raise VaultError(f"{field}: the stored secret is not sealed; set it again")
        key_id, _, envelope = sealed.removeprefix(PREFIX).partition(":")
        if key_id != self.key_id:
            raise VaultError(
                f"{field}: sealed with key {key_id[:8]}, but the key in force is {self.key_id}; "
                "restore TOCSIN_SECRET_KEY or secret.key, or set the secret again"
            )
        try:
            raw = base64.b64decode(envelope, validate=True)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound_to(channel_id, field)).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise VaultError(f"{field}: the stored secret is altered or another channel's; set it again") from None


def is_sealed(value: object) -> bool:
    """Whether a value is a sealed text."""
    return isinstance(value, str) and value.startswith(PREFIX)


def _bound_to(channel_id: str, field: str) -> bytes:
    return f"{channel_id}\0{field}".encode()


def load_or_create_key(data_dir: Path, given: str | None) -> Vault:
    """The vault by the given setting, else by the key file in the data directory, made at the first start.

    Raises VaultError when the directory or the file can be read by others, or the file is a link or damaged.
    """
    if given:
        key = hashlib.scrypt(given.encode(), salt=_SALT, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P, maxmem=2**26, dklen=32)
        return Vault(key)
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_if_loose(data_dir, data_dir.stat(), "700")
        path = data_dir / KEY_FILE
        try:
            return Vault(_read_key(path))
        except FileNotFoundError:
            write_private(path, base64.b64encode(secrets.token_bytes(_KEY_BYTES)) + b"\n")
            return Vault(_read_key(path))
    except OSError as error:
        raise VaultError(f"{data_dir}: the secret key cannot be kept there: {error.strerror}") from None


def _read_key(path: Path) -> bytes:
    try:
        return base64.b64decode(read_private(path).strip(), validate=True)
    except binascii.Error:
        raise VaultError(f"{path}: this is not a secret key; restore it from a backup") from None


def read_private(path: Path) -> bytes:
    """The beginning of a file with a secret. Raises VaultError when others can read it, OSError when it is a link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _refuse_if_loose(path, os.fstat(descriptor), "600")
        return file.read(_MAX_FILE_BYTES)


def write_private(path: Path, content: bytes) -> bool:
    """Write a new file whole or not at all; of several processes that start at once one wins, and is told so."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(draft, path)  # unlike a rename, fails where another process was quicker
        except FileExistsError:
            return False
        return True
    finally:
        draft.unlink()


def _refuse_if_loose(path: Path, found: os.stat_result, mode: str) -> None:
    if found.st_uid != os.geteuid():
        raise VaultError(f"{path}: belongs to another user; give it to the one who runs tocsin")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise VaultError(f"{path}: others can get at it; run `chmod {mode} {path}`")
