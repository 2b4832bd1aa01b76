"""What deleted channels said is looked for until that was possible."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock

import pytest

from tocsin.deliver import forgetting
from tocsin.deliver.directory import Directory
from tocsin.deliver.memory import Memory
from tocsin.kafka.errors import KafkaUnreachable
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode_document
from tocsin.schemas.notification import Remembered
from tocsin.testing import eventually


async def test_a_channel_that_was_made_anew_keeps_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [
        Remembered(channel_id=name, channel_type="slack", group_key="k", notification_id="n", episode="e")
        for name in ("gone", "anew")
    ]
    now = Directory()
    await now.apply("anew", encode_document(Channel(id="anew", type="slack")))

    async def read_memory(_: Any) -> Memory:
        return Memory({one.key: one for one in said})

    @asynccontextmanager
    async def opened_directory(_: Any) -> AsyncIterator[tuple[Directory, None]]:
        yield now, None

    monkeypatch.setattr(forgetting, "read_memory", read_memory)
    monkeypatch.setattr(forgetting, "opened_directory", opened_directory)
    journal = AsyncMock()
    await forgetting._sweep(AsyncMock(), Directory(), journal)
    assert [call.args for call in journal.forget.await_args_list] == [("gone/k",)]


async def test_a_look_that_fails_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    async def look(*_: Any) -> None:
        nonlocal looks
        looks += 1
        if looks < 3:
            raise KafkaUnreachable("127.0.0.1:1", "nobody answers")

    monkeypatch.setattr(forgetting, "_sweep", look)
    monkeypatch.setattr(forgetting, "_AGAIN_S", 0.01)
    given: Any = None
    forever = asyncio.create_task(forgetting.forget_deleted(given, Directory(), given))
    await eventually(lambda: looks == 3, 10, "the look that went well")
    forever.cancel()
    await asyncio.gather(forever, return_exceptions=True)
