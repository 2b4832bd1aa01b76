"""Which records of the channels topic count."""

from __future__ import annotations

from typing import Any

from tocsin.agents.route import Route
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode_document
from tocsin.schemas.topics import Topics


def test_a_channel_under_another_key_is_ignored() -> None:
    nothing: Any = None
    route = Route(nothing, nothing, Topics())
    channel = Channel(id="ops", type="console")
    route.read_channel(0, b"ops", encode_document(channel), 0)
    route.read_channel(1, b"other", encode_document(channel), 0)
    assert route.channels == {"ops": channel}
