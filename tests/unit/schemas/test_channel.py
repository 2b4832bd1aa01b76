"""Channels as they are stored."""

from __future__ import annotations

import pytest

from tocsin.schemas.channel import Channel


@pytest.mark.parametrize(
    ("value", "is_on"),
    [(True, True), (False, False), ("false", False), ("no", False), ("Off", False), (0, False), ("true", True)],
)
def test_a_stored_switch_means_what_its_words_say(value: object, is_on: bool) -> None:
    channel = Channel(id="a", type="console", config={"enabled": value, "send_resolved": value})
    assert (channel.enabled, channel.sends_resolved) == (is_on, is_on)
    assert Channel(id="a", type="console").enabled


def test_the_text_form_of_a_channel_holds_no_credentials() -> None:
    assert "canary" not in repr(Channel(id="a", type="email", config={"password": "canary"}))


@pytest.mark.parametrize(
    ("kind", "config", "hears"),
    [
        ("pagerduty", {}, True),
        ("opsgenie", {}, True),
        ("slack", {"bot_token": "sealed"}, True),
        ("slack", {"webhook_url": "sealed"}, False),
        ("email", {}, False),
    ],
)
def test_who_keeps_something_open_hears_who_takes_care(kind: str, config: dict[str, str], *, hears: bool) -> None:
    assert Channel(id="c", type=kind, config=config).hears_of_care is hears
