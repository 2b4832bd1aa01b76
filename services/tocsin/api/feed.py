"""Alert events as they happen: one consumer of `alerts` for a process, and a bounded queue for each who listens.

A position is the next offset of each partition, written `0.15,1.20`: whoever names one gets all that came since.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from tocsin.context import Context
from tocsin.kafka.clients import consumer_arguments, read_to, started
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent

MOST_LISTENERS: Final = 1_000
_MOST_WAITING: Final = 2_000  # events for one who does not read them
MOST_REPLAYS: Final = 4  # at a time, each with a connection: after a restart all come back at once
_FETCH_MS: Final = 100
_CALL_S: Final = 30.0
_PLACE: Final = re.compile(r"(\d{1,6})\.(\d{1,18})", re.ASCII)
_log = structlog.get_logger("tocsin.api.events")
Positions = dict[int, int]


class Full(Exception):
    """As many listen as can."""


class BadPosition(ValueError):
    """A text that names no position."""


def parse_positions(text: str) -> Positions:
    """The inverse of `format_positions`; raises BadPosition."""
    found = [_PLACE.fullmatch(part) for part in text.split(",")]
    if not all(found) or len(found) > 10_000:
        raise BadPosition
    return {int(one[1]): int(one[2]) for one in found if one}


def format_positions(positions: Mapping[int, int]) -> str:
    """`0.15,1.20`."""
    return ",".join(f"{partition}.{offset}" for partition, offset in sorted(positions.items()))


@dataclass(frozen=True, slots=True)
class Told:
    """An event, where it lies, and as all who listen get it: bytes that they share."""

    event: AlertEvent
    partition: int
    offset: int
    said: bytes

    @classmethod
    def of(cls, event: AlertEvent, partition: int, offset: int) -> Told:
        """Encoded once, however many listen."""
        said = b"event: %b\ndata: %b\n" % (event.type.encode(), codec.encode(event))
        return cls(event, partition, offset, said)


@dataclass(slots=True, eq=False)
class Listener:
    """Somebody who listens from `positions` on. `is_over` says that nothing comes after what waits: they read too
    slowly to get the rest, or nobody reads for them any more. None wakes who waits."""

    positions: Positions
    queue: asyncio.Queue[Told | None] = field(default_factory=lambda: asyncio.Queue(_MOST_WAITING))
    is_over: bool = False

    def hear(self, told: Told) -> None:
        """An event happened."""
        try:
            self.queue.put_nowait(told)
        except asyncio.QueueFull:
            self.is_over = True

    def leave(self) -> None:
        """They are to come back."""
        self.is_over = True
        with suppress(asyncio.QueueFull):
            self.queue.put_nowait(None)


class Feed:
    """Of one process; begins to read when somebody listens for the first time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._listeners: set[Listener] = set()
        self._positions: Positions = {}
        self._lock = asyncio.Lock()
        self._replays = asyncio.Semaphore(MOST_REPLAYS)
        self._stack = AsyncExitStack()
        self._following: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listener]:
        """Listen within the block, from now on. Raises Full."""
        async with self._lock:
            if self._following is None or self._following.done():
                await self._begin()
            if len(self._listeners) >= MOST_LISTENERS:  # here, since many may have come while it began
                raise Full
            listener = Listener(dict(self._positions))
            self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    @asynccontextmanager
    async def replay(self, begin: Positions, end: Positions) -> AsyncIterator[AsyncIterator[Told]]:
        """What came between two positions that differ, as far as the topic still holds it. Waits while many others ask
        for that."""
        topic = self._context.topics.alerts
        places = {TopicPartition(topic, number): end[number] for number in begin if begin[number] < end.get(number, 0)}
        async with self._replays, self._started() as consumer:
            consumer.assign(list(places))
            for place, first in (await consumer.beginning_offsets(list(places))).items():
                consumer.seek(place, min(max(first, begin[place.partition]), places[place]))
            yield _between(consumer, places)

    def dismiss(self) -> None:
        """Let all who listen come back."""
        for listener in self._listeners:
            listener.leave()

    async def stop(self) -> None:
        """Stop reading."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._stack.aclose()

    def _started(self, *topics: str) -> AbstractAsyncContextManager[AIOKafkaConsumer]:
        connection = self._context.connection
        arguments: dict[str, Any] = {**consumer_arguments(connection), "fetch_max_wait_ms": _FETCH_MS}
        return started(AIOKafkaConsumer(*topics, **arguments), connection.bootstrap_servers)

    async def _begin(self) -> None:
        await self._stack.aclose()
        consumer = await self._stack.enter_async_context(self._started(self._context.topics.alerts))
        ends = await asyncio.wait_for(consumer.end_offsets(list(consumer.assignment())), _CALL_S)
        for place, end in ends.items():
            consumer.seek(place, end)
        self._positions = {place.partition: end for place, end in ends.items()}
        self._following = asyncio.create_task(self._follow(consumer))

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        try:
            while True:
                for records in (await consumer.getmany(timeout_ms=_FETCH_MS)).values():
                    for record in records:
                        self._hear(record)
        except KafkaError as error:
            _log.warning("alert events are not followed any more; who listens comes back", error=repr(error))
        finally:
            self.dismiss()  # they come back, and the next one begins anew

    def _hear(self, record: ConsumerRecord) -> None:
        self._positions[record.partition] = record.offset + 1
        told = _told(record) if self._listeners else None
        if told is not None:
            for listener in self._listeners:
                listener.hear(told)


async def _between(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> AsyncIterator[Told]:
    async for record in read_to(consumer, ends, _FETCH_MS):
        told = _told(record)
        if told is not None and record.offset < ends[TopicPartition(record.topic, record.partition)]:
            yield told


def _told(record: ConsumerRecord) -> Told | None:
    try:
        return Told.of(codec.decode(AlertEvent, record.value), record.partition, record.offset)
    except codec.UnreadableRecord as error:
        _log.warning("what is no alert event was passed over", offset=record.offset, reason=str(error))
        return None
