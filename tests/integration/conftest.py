"""An API of this process against the real Kafka, for the tests that talk HTTP to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from tocsin.api.service import serving
from tocsin.api.state import Api
from tocsin.context import Context
from tocsin.kafka.clients import KafkaConnection
from tocsin.schemas.settings import ApiSettings, Settings
from tocsin.schemas.topics import Topics
from tocsin.testing import own_port

TOKEN = "the-token-of-this-test"


@pytest.fixture
def context(kafka: str, topics: Topics, tmp_path: Path) -> Context:
    tmp_path.chmod(0o700)
    port = own_port()
    settings = Settings(api=ApiSettings(port=port, token=SecretStr(TOKEN)))
    return Context(settings, KafkaConnection(kafka), topics, tmp_path)


@pytest.fixture
async def served(context: Context) -> AsyncIterator[tuple[Api, aiohttp.ClientSession]]:
    """An API that has read everything, and a session of its administrator."""
    async with serving(context) as api:
        await asyncio.wait_for(api.projector.caught_up.wait(), 20)
        url = f"http://127.0.0.1:{context.settings.api.port}"
        async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {TOKEN}"}) as session:
            yield api, session
