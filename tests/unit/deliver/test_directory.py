"""The directory of channels: which entries of the topic count."""

from __future__ import annotations

from tocsin.deliver.directory import Directory
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode_document


async def test_an_entry_under_another_key_is_ignored() -> None:
    directory = Directory()
    channel = Channel(id="ops", type="console")
    await directory.apply("ops", encode_document(channel))
    await directory.apply("other", encode_document(channel))
    assert directory.get("ops") == channel
    assert directory.get("other") is None
