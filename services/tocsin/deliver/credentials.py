"""Credentials of channels: sealed before they are stored, masked when shown, opened only to send."""

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError

from tocsin.deliver.channels import UnknownChannelType, channel_type, check_config
from tocsin.permits import without_tokens
from tocsin.schemas.channel import Channel
from tocsin.schemas.problems import FieldError, field_errors
from tocsin.vault import Vault, is_sealed

MASK = "********"
_SHORTEST = 6
_LONG_WORD = 16
_PIECE = re.compile(r"[/&=:@?]")


ITSELF: Final = "is this channel itself, which cannot stand in for itself; name another"


class ConfigRefused(ValueError):
    """A channel's configuration that cannot be taken; `errors` names each field and its mend."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


def seal_config(channel: Channel, vault: Vault, previous: Channel | None = None) -> Channel:
    """The channel as it may be stored: its configuration checked, every secret sealed.

    A secret given as the mask keeps the stored one of `previous`, as long as the destination is the same. Raises
    ConfigRefused with every mistake, an unknown type among them.
    """
    try:
        kind = channel_type(channel.type)
    except UnknownChannelType as error:
        raise ConfigRefused((FieldError("type", str(error)),)) from None
    config = copy.deepcopy(channel.config)
    paths = kind.secrets(config)
    kept = {path: _stored(channel, path, previous) for path in paths if _at(config, path) == MASK}
    if kept and previous is not None and kind.destination(config) != kind.destination(previous.config):
        message = "changing the destination needs the secret again; give it anew"
        raise ConfigRefused(tuple(FieldError(_name(path), message) for path in kept))
    for path, sealed in kept.items():
        _put(config, path, vault.open(channel.id, ".".join(path), sealed))
    _refuse_sealed(config, paths)
    try:
        check_config(channel.type, config)
    except ValidationError as error:
        raise ConfigRefused(config_errors(channel.type, error)) from None
    if config.get("fallback") == channel.id:
        raise ConfigRefused((FieldError("config.fallback", ITSELF),))
    for path in paths:
        _put(config, path, kept.get(path) or vault.seal(channel.id, ".".join(path), str(_at(config, path))))
    return channel.model_copy(update={"config": config})


def masked_config(channel: Channel) -> dict[str, Any]:
    """The configuration as it may be shown: never a secret, not even a sealed one."""
    config = copy.deepcopy(channel.config)
    try:
        paths = channel_type(channel.type).secrets(config)
    except UnknownChannelType:
        return {}
    for path in paths:
        _put(config, path, MASK)
    return config


def opened_config(channel: Channel, vault: Vault) -> dict[str, Any]:
    """The configuration with open secrets, for sending only. Raises VaultError and UnknownChannelType."""
    config = copy.deepcopy(channel.config)
    for path in channel_type(channel.type).secrets(config):
        _put(config, path, vault.open(channel.id, ".".join(path), str(_at(config, path))))
    return config


def config_errors(type_name: str, error: ValidationError) -> tuple[FieldError, ...]:
    """A validation error of `check_config` with the fields as the channel's user wrote them: `config.smtp_port`."""
    found = field_errors(error, channel_type(type_name).settings)
    return tuple(FieldError(f"config.{one.field}" if one.field else "config", one.message) for one in found)


def redacted(text: str, settings: BaseModel) -> str:
    """The text without the settings' secrets and without links that act: a receiver may reflect both in its answer."""
    for secret in sorted(_open_secrets(settings), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return without_tokens(text)


def _open_secrets(settings: BaseModel) -> set[str]:
    """Every secret, and what a receiver may see of one: a word of `Bearer TOKEN`, a part of an address, a login in
    base64. What is very short would mask common words."""
    found: set[str] = set()
    user = str(getattr(settings, "username", None) or "")
    for _, value in settings:
        for one in value.values() if isinstance(value, dict) else (value,):
            if isinstance(one, SecretStr):
                secret = one.get_secret_value()
                found |= {secret, *secret.split(), *_address_parts(secret)}
                found |= {
                    base64.b64encode(text.encode()).decode() for text in (f"{user}:{secret}", f"\0{user}\0{secret}")
                }
    return {secret for secret in found if len(secret) >= _SHORTEST}


def _address_parts(secret: str) -> set[str]:
    """The path of an address that is a secret, its query, and what in them is no plain word."""
    _, is_address, rest = secret.partition("://")
    if not is_address:
        return set()
    path, _, query = rest.partition("?")
    _, slash, inside = path.partition("/")
    pieces = [*_PIECE.split(path), *_PIECE.split(query)]
    return {slash + inside, query, f"{slash}{inside}?{query}"} | {piece for piece in pieces if not _is_word(piece)}


def _is_word(piece: str) -> bool:
    return piece.isalpha() and len(piece) < _LONG_WORD


def _stored(channel: Channel, path: tuple[str, ...], previous: Channel | None) -> str:
    value = _at(previous.config, path) if previous is not None and previous.type == channel.type else None
    if previous is None or previous.id != channel.id or not is_sealed(value):
        raise ConfigRefused((FieldError(_name(path), "is the mask and no secret is stored; give the secret itself"),))
    return str(value)


def _refuse_sealed(config: Mapping[str, Any], paths: tuple[tuple[str, ...], ...]) -> None:
    errors = [
        FieldError(_name(path), "is sealed; give the secret itself") for path in paths if is_sealed(_at(config, path))
    ]
    if errors:
        raise ConfigRefused(tuple(errors))


def _name(path: tuple[str, ...]) -> str:
    return ".".join(("config", *path))


def _at(config: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = config
    for part in path:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _put(config: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    *parents, last = path
    for part in parents:
        config = config[part]
    config[last] = value
