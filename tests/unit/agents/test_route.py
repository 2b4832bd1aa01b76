"""Which records of the channels topic count."""

from __future__ import annotations

from tocsin.agents.routing import RoutingState
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode_document


def test_a_channel_under_another_key_is_ignored() -> None:
    state = RoutingState()
    channel = Channel(id="ops", type="console")
    state.read_channel(0, b"ops", encode_document(channel), 0)
    state.read_channel(1, b"other", encode_document(channel), 0)
    assert state.channels == {"ops": channel}
