"""Notifications of a channel with too many waiting: only their places are kept, to be read again in their turn.

So a receiver that is away for an hour costs some bytes a notification, and its partition is read on for all others.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import NamedTuple, Self

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from tocsin.context import Context
from tocsin.deliver.lane import Claim, Job
from tocsin.deliver.policy import urgency_of
from tocsin.kafka.clients import consumer_arguments, started
from tocsin.schemas.notification import Notification

# A lane holds this many in memory (some KiB each), and gets more when less than half is left.
LANE_LIMIT = 1_000
_URGENT_TOO = 2  # times as many, until what is most urgent is parked like all others
_RUN = 500
_RUN_SPAN = 5_000
_FETCH_MS = 100
_POLL_S = 0.05
_READ_TIMEOUT_S = 30.0
log = structlog.get_logger("tocsin.deliver.parking")


class Place(NamedTuple):
    """Where a parked notification lies, and whose turn it is: the hash of its group's key."""

    claim: Claim
    partition: TopicPartition
    offset: int
    group: int


class Parking:
    """The parked places of each channel, in the order in which they came, and how many each group has."""

    def __init__(self, context: Context, limit: int = LANE_LIMIT) -> None:
        self._connection = context.connection
        self._stack = AsyncExitStack()
        self._reader: AIOKafkaConsumer | None = None
        self._any = asyncio.Event()
        self._limit = limit
        self._places: dict[str, deque[Place]] = {}
        self._groups: dict[str, Counter[int]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def takes(self, notification: Notification, waiting: int) -> bool:
        """Whether its channel's next notification is to be parked: it never overtakes those that are. Of what is most
        urgent only those of its own group count, but for very many."""
        channel_id = notification.channel_id
        if urgency_of(notification.event.severity) == 0 and waiting < _URGENT_TOO * self._limit:
            return hash(notification.group_key) in self._groups.get(channel_id, ())
        return waiting >= self._limit or channel_id in self._places

    def park(self, notification: Notification, claim: Claim, partition: TopicPartition, offset: int) -> None:
        """Keep a place."""
        channel_id, group = notification.channel_id, hash(notification.group_key)
        self._places.setdefault(channel_id, deque()).append(Place(claim, partition, offset, group))
        self._groups.setdefault(channel_id, Counter())[group] += 1
        self._any.set()

    def _leave(self, channel_id: str) -> Place:
        """Give the first place up."""
        place, groups = self._places[channel_id].popleft(), self._groups[channel_id]
        groups[place.group] -= 1
        if not groups[place.group]:
            del groups[place.group]
        return place

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
        while places and not places[0].claim.live:
            self._leave(channel_id)
        run = _first_run(places)
        records = await self._read(run[0].partition, [place.offset for place in run]) if run else {}
        for claim, partition, offset, _ in run:
            self._leave(channel_id)
            if not claim.live:
                continue
            record = records.get(offset)
            if record is None:
                log.error("notification lost to the topic's retention", partition=partition.partition, offset=offset)
                claim.ledger.finish(offset)
            else:
                submit(job(claim, record))
        if not places:
            del self._places[channel_id], self._groups[channel_id]

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
    """The next places to read in one go: of one partition, near each other."""
    run: list[Place] = []
    for place in places:
        is_elsewhere = run and (place.partition != run[0].partition or place.offset - run[0].offset > _RUN_SPAN)
        if len(run) == _RUN or is_elsewhere:
            break
        run.append(place)
    return run
