"""What handlers work with, and how they write: to Kafka, and back through the projection."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tocsin.api.metrics import Metrics
from tocsin.api.problems import unavailable
from tocsin.api.tokens import TokenCheck
from tocsin.context import Context
from tocsin.projection.database import Database
from tocsin.projection.projector import Projector
from tocsin.vault import Vault

_SEND_TIMEOUT_S = 10.0
READ_BACK_S = 5.0


@dataclass(frozen=True, slots=True)
class Api:
    """One API process."""

    context: Context
    database: Database
    projector: Projector
    producer: AIOKafkaProducer
    vault: Vault
    token: TokenCheck
    metrics: Metrics
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def write(self, topic: str, key: str, value: bytes | None) -> int:
        """Write a record and wait until it can be read here; returns its offset."""
        partition, offset = await self.send(topic, key, value)
        await self.projector.reached(topic, partition, offset, READ_BACK_S)
        return offset

    async def send(self, topic: str, key: str, value: bytes | None) -> tuple[int, int]:
        """Write a record; returns its partition and offset."""
        return await self.put(topic, key.encode(), value)

    async def put(self, topic: str, key: bytes | None, value: bytes | None) -> tuple[int, int]:
        """As `send`, with a key of bytes, or none."""
        try:
            done = await asyncio.wait_for(self.producer.send_and_wait(topic, value, key=key), _SEND_TIMEOUT_S)
        except (KafkaError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise unavailable(f"Kafka did not take the write ({reason}); try again") from None
        return done.partition, done.offset


API = web.AppKey("api", Api)


def api_of(request: web.Request) -> Api:
    """The process that serves a request."""
    return request.app[API]


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", headers=headers)
