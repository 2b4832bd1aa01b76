"""The page about channels: what it shows is accepted, and it names every type and every setting."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tocsin import documents
from tocsin.deliver.channels import CHANNELS, check_config
from tocsin.deliver.settings import ChannelSettings
from tocsin.deliver.templates import NAMES
from tocsin.schemas.channel import Channel

PAGE = (Path(__file__).parents[3] / "docs" / "channels.md").read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
COMMON = set(ChannelSettings.model_fields)


def fields_of(section: str) -> set[str]:
    """What the first cells of its tables name."""
    cells = re.findall(r"^\| (`.+?) \|", SECTIONS[section], re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize("block", BLOCKS)
def test_what_the_page_shows_is_accepted(block: str) -> None:
    value: Any = documents.parse(block.encode(), "channels.md").value
    for body in value if isinstance(value, list) else [value]:
        channel = Channel.model_validate(body)
        assert check_config(channel.type, channel.config).enabled


@pytest.mark.parametrize("kind", CHANNELS)
def test_a_type_has_a_section_that_names_its_settings_and_shows_one(kind: str) -> None:
    assert fields_of(kind) == set(CHANNELS[kind].settings.model_fields) - COMMON
    assert re.search(rf"type: {kind}\b", SECTIONS[kind])


def test_the_settings_of_all_and_the_names_of_templates_are_there() -> None:
    assert fields_of("Settings of every channel") == COMMON
    assert set(NAMES) <= set(re.findall(r"\w+", SECTIONS["Templates"]))
