"""What deleted channels said is looked for until that was possible."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tocsin.deliver import forgetting
from tocsin.deliver.directory import Directory
from tocsin.kafka.errors import KafkaUnreachable
from tocsin.testing import eventually


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
