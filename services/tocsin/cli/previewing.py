"""Drafts of channels and templates in files, and where in them what is wrong stands."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from tocsin.cli.failures import Failure, wrong_usage
from tocsin.cli.files import Placed, read_channels
from tocsin.schemas.channel import Channel

_MAX_BYTES: Final = 65_536
_OF_TEMPLATE: Final = ("template", "config.template")


def draft_of(channel_id: str, path: Path) -> Placed[Channel]:
    """The channel of this id in a file. Ends the command when there is none, with every mistake in its settings."""
    found = {placed.entry.id: placed for placed in read_channels([path])}
    if channel_id not in found:
        wrong_usage(f"{path}: has no channel {channel_id!r}; there are {', '.join(found)}")
    placed = found[channel_id]
    if mistakes := mistakes_in(placed):
        raise Failure(*mistakes)
    return placed


def mistakes_in(placed: Placed[Channel]) -> list[str]:
    """A line for each mistake in a channel's settings. A credential that stays as it is, given as its mask, is none."""
    from tocsin.deliver.channels import UnknownChannelType, check_config
    from tocsin.deliver.credentials import ITSELF, MASK, config_errors

    channel = placed.entry
    try:
        check_config(channel.type, channel.config)
    except UnknownChannelType as error:
        return [placed.line(("type",), str(error))]
    except ValidationError as error:
        found = config_errors(channel.type, error)
        kept = {f"config.{name}" for name, value in channel.config.items() if value == MASK}
        return [placed.line(tuple(one.field.split(".")), one.message) for one in found if one.field not in kept]
    is_its_own = channel.config.get("fallback") == channel.id
    return [placed.line(("config", "fallback"), ITSELF)] if is_its_own else []


def template_of(path: Path) -> str:
    """The text of a template. Ends the command when it cannot be read, or is none."""
    from tocsin.deliver.templates import TemplateError, check_template

    name = "standard input" if str(path) == "-" else str(path)
    try:
        with sys.stdin.buffer if str(path) == "-" else path.open("rb") as file:
            text = file.read(_MAX_BYTES).decode()
    except UnicodeDecodeError:
        raise Failure(f"{name}: is not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise Failure(f"{name}: cannot be read: {error.strerror or error}") from None
    try:
        check_template(text)
    except TemplateError as error:
        raise Failure(f"{name}: {error}") from None
    return text


def in_place(problems: Sequence[Mapping[str, Any]], placed: Placed[Channel] | None, template: Path | None) -> list[str]:
    """A line for each problem, with the place in the file that it comes from."""
    lines = []
    for problem in problems:
        field, text = str(problem.get("field", "")), str(problem.get("message", ""))
        if template and field in _OF_TEMPLATE:
            lines.append(f"{template}: {text}")
        elif placed and field.startswith("config."):
            lines.append(placed.line(tuple(field.split(".")), text))
        else:
            lines.append(f"{field}: {text}")
    return lines
