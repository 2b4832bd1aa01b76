"""Notifications of a channel with too many waiting: only their places are kept, to be read again in their turn.

So a receiver that is away for an hour costs some bytes a notification, and its partition is read on for all others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from tocsin.context import Context
from tocsin.deliver.lane import Claim, Job
from tocsin.kafka.clients import consumer_arguments, started

# A lane holds this many in memory (some KiB each), and gets more when less than half is left.
LANE_LIMIT = 1_000
_RUN = 500
_RUN_SPAN = 5_000
_FETCH_MS = 100
_POLL_S = 0.05
_READ_TIMEOUT_S = 30.0
log = structlog.get_logger("tocsin.deliver.parking")

Place = tuple[Claim, TopicPartition, int]


class Parking:
    """The parked places of each channel, in the order in which they came."""

    def __init__(self, context: Context, limit: int = LANE_LIMIT) -> None:
        self._connection = context.connection
        self._stack = AsyncExitStack()
        self._reader: AIOKafkaConsumer | None = None
        self._any = asyncio.Event()
        self._limit = limit
        self._places: dict[str, deque[Place]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def takes(self, channel_id: str, waiting: int) -> bool:
        """Whether the channel's next notification is to be parked: it never overtakes those that are."""
        return waiting >= self._limit or channel_id in self._places

    def park(self, channel_id: str, claim: Claim, partition: TopicPartition, offset: int) -> None:
        """Keep a place."""
        self._places.setdefault(channel_id, deque()).append((claim, partition, offset))
        self._any.set()

    async def refill(
        self,
        waiting: Callable[[str], int],
        job: Callable[[Claim, ConsumerRecord], Job],
        submit: Callable[[Job], None],
    ) -> None:
        """Brings parked notifications back as their channels get room, until cancelled."""
        while True:
            if not self._places:
                self._any.clear()
                await self._any.wait()
            hungry = [channel_id for channel_id in self._places if waiting(channel_id) <= self._limit // 2]
            for channel_id in hungry:
                try:
                    async with asyncio.timeout(_READ_TIMEOUT_S):
                        await self._bring(channel_id, job, submit)
                except (KafkaError, TimeoutError) as error:
                    log.warning("parked notifications wait", channel_id=channel_id, reason=type(error).__name__)
            await asyncio.sleep(_POLL_S)

    async def _bring(
        self, channel_id: str, job: Callable[[Claim, ConsumerRecord], Job], submit: Callable[[Job], None]
    ) -> None:
        places = self._places[channel_id]
        run = _first_run(places)
        records = await self._read(run[0][1], [offset for _, _, offset in run]) if run else {}
        for claim, partition, offset in run:
            places.popleft()
            if not claim.live:
                continue
            record = records.get(offset)
            if record is None:
                log.error("notification lost to the topic's retention", partition=partition.partition, offset=offset)
                claim.ledger.finish(offset)
            else:
                submit(job(claim, record))
        if not places:
            del self._places[channel_id]

    async def _read(self, partition: TopicPartition, offsets: list[int]) -> dict[int, ConsumerRecord]:
        wanted = set(offsets)
        found: dict[int, ConsumerRecord] = {}
        consumer = await self._consumer()
        consumer.assign([partition])
        consumer.seek(partition, offsets[0])
        while await consumer.position(partition) <= offsets[-1]:
            for records in (await consumer.getmany(timeout_ms=_FETCH_MS)).values():
                found |= {record.offset: record for record in records if record.offset in wanted}
        return found

    async def _consumer(self) -> AIOKafkaConsumer:
        """The one there is, connected when it is first needed: few channels ever park anything."""
        if self._reader is None:
            arguments = consumer_arguments(self._connection)
            made = AIOKafkaConsumer(**{**arguments, "fetch_max_wait_ms": _FETCH_MS})
            await self._stack.enter_async_context(started(made, self._connection.bootstrap_servers))
            self._reader = made
        return self._reader


def _first_run(places: deque[Place]) -> list[Place]:
    """The next places to read in one go: of one partition, near each other. Places that are not ours any more go."""
    while places and not places[0][0].live:
        places.popleft()
    run: list[Place] = []
    for place in places:
        if len(run) == _RUN or (run and (place[1] != run[0][1] or place[2] - run[0][2] > _RUN_SPAN)):
            break
        run.append(place)
    return run
