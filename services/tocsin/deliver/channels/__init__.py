"""The channels there are. A new one is a file in this folder and a line in this table."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from tocsin.deliver.channels import (
    apprise,
    console,
    discord,
    email,
    file,
    kafka,
    ntfy,
    opsgenie,
    pagerduty,
    slack,
    teams,
    telegram,
    webhook,
)
from tocsin.deliver.protocol import ChannelType
from tocsin.deliver.settings import ChannelSettings

CHANNELS: Mapping[str, ChannelType] = {
    "email": email.CHANNEL,
    "slack": slack.CHANNEL,
    "webhook": webhook.CHANNEL,
    "console": console.CHANNEL,
    "pagerduty": pagerduty.CHANNEL,
    "teams": teams.CHANNEL,
    "opsgenie": opsgenie.CHANNEL,
    "discord": discord.CHANNEL,
    "telegram": telegram.CHANNEL,
    "ntfy": ntfy.CHANNEL,
    "kafka": kafka.CHANNEL,
    "file": file.CHANNEL,
    "apprise": apprise.CHANNEL,
}


class UnknownChannelType(ValueError):
    """No channel has this type; the text names the nearest one."""


def channel_type(name: str) -> ChannelType:
    """The channel type of this name. Raises UnknownChannelType."""
    found = CHANNELS.get(name)
    if found is None:
        near = difflib.get_close_matches(name, CHANNELS, n=1)
        mend = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(CHANNELS)}"
        raise UnknownChannelType(f"{name!r} is not a channel type; {mend}")
    return found


def check_config(type_name: str, config: Mapping[str, Any], *, stored: bool = False) -> ChannelSettings:
    """The settings in a configuration with open secrets; of one that is stored, whatever its templates are.

    Raises UnknownChannelType, or pydantic's ValidationError with every mistake.
    """
    return channel_type(type_name).settings.model_validate(dict(config), context={"stored": stored})
