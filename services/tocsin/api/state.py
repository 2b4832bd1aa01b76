"""What handlers work with, and how they write: to Kafka, and back through the projection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import orjson
from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tocsin.api.metrics import Metrics
from tocsin.api.problems import Written, unavailable
from tocsin.api.tokens import TokenCheck
from tocsin.context import Context
from tocsin.projection.database import Database
from tocsin.projection.projector import Projector
from tocsin.schemas.dead_letter import Header
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
    following: asyncio.Task[None]
    # A lock lives as long as somebody holds it or waits for it: ids that were asked for once are not kept.
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    backtesting: asyncio.Lock = field(default_factory=asyncio.Lock)  # one at a time: it takes a core

    @asynccontextmanager
    async def changing(self, topic: str, key: str) -> AsyncIterator[None]:
        """A block that reads an entry and writes it: one at a time here, and only upon the latest that is written.

        Raises Problem 503 while the projection is behind: what it would compare or merge with is out of date.
        """
        lock = self._locks.setdefault(f"{topic}/{key}", asyncio.Lock())
        async with lock:
            try:
                is_current = await self.projector.in_step(topic, READ_BACK_S)
            except KafkaError as error:
                raise unavailable(f"Kafka does not say what is on {topic} ({_reason(error)}); try again") from None
            if not is_current:
                raise unavailable("what was written last is not readable yet, so nothing was changed; try again")
            yield

    async def write(self, topic: str, key: str, value: bytes | None) -> int:
        """Write a record and wait until it can be read here; returns its offset.

        Raises Problem 503 when the write was not taken, and Written when it was and cannot be read yet.
        """
        partition, offset = await self.send(topic, key, value)
        if not await self.projector.reached(topic, partition, offset, READ_BACK_S):
            raise Written(f"written, not readable yet: {key!r} is in force, as revision {offset}; read it later")
        return offset

    async def send(self, topic: str, key: str, value: bytes | None) -> tuple[int, int]:
        """Write a record; returns its partition and offset."""
        return await self.put(topic, key.encode(), value)

    async def put(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header] = (),
        at_ms: int | None = None,
    ) -> tuple[int, int]:
        """As `send`, with a key of bytes or none, headers, and a time other than now."""
        sending = self.producer.send_and_wait(topic, value, key=key, headers=headers, timestamp_ms=at_ms)
        try:
            done = await asyncio.wait_for(sending, _SEND_TIMEOUT_S)
        except (KafkaError, TimeoutError, OSError) as error:
            raise unavailable(f"Kafka did not take the write ({_reason(error)}); try again") from None
        return done.partition, done.offset


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


API = web.AppKey("api", Api)


def api_of(request: web.Request) -> Api:
    """The process that serves a request."""
    return request.app[API]


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", headers=headers)
