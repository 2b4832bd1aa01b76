"""Notifications of a channel with too many waiting: only their places are kept, to be read again in their turn.

So a receiver that is away for an hour costs some bytes a notification, and its partition is read on for all others.
The channel's fallback is told of these, too.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import islice, takewhile
from types import TracebackType
from typing import NamedTuple, Self

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from tocsin.context import Context
from tocsin.deliver.lane import Claim, Job
from tocsin.deliver.policy import urgency_of
from tocsin.deliver.worker import Worker
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
    """Where a parked notification lies, whose turn it is (the hash of its group's key), and when it came."""

    claim: Claim
    partition: TopicPartition
    offset: int
    group: int
    taken_ms: int


@dataclass(slots=True)
class _Queue:
    """The places of one channel in the order in which they came, and how many each group has. Of the first `told` the
    fallback was told."""

    places: deque[Place] = field(default_factory=deque)
    groups: Counter[int] = field(default_factory=Counter)
    told: int = 0

    def add(self, place: Place) -> None:
        """Behind all others."""
        self.places.append(place)
        self.groups[place.group] += 1

    def leave(self) -> bool:
        """Give the first place up; whether the fallback was told of it."""
        place, was_told = self.places.popleft(), self.told > 0
        self.told -= was_told
        self.groups[place.group] -= 1
        if not self.groups[place.group]:
            del self.groups[place.group]
        return was_told

    def untold(self, until_ms: int) -> Iterable[Place]:
        """The places that came until then, and of which no fallback was told."""
        # Looked at time and again: the next one is found from either end, the way there is only gone for something.
        if self.told == len(self.places) or self.places[self.told].taken_ms > until_ms:
            return ()
        return takewhile(lambda place: place.taken_ms <= until_ms, islice(self.places, self.told, None))


class Parking:
    """What each channel has parked."""

    def __init__(self, context: Context, limit: int = LANE_LIMIT) -> None:
        self._connection = context.connection
        self._stack = AsyncExitStack()
        self._reader: AIOKafkaConsumer | None = None
        self._any = asyncio.Event()
        self._limit = limit
        self._queues: dict[str, _Queue] = {}

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
            queue = self._queues.get(channel_id)
            return queue is not None and hash(notification.group_key) in queue.groups
        return waiting >= self._limit or channel_id in self._queues

    def park(
        self, notification: Notification, claim: Claim, partition: TopicPartition, offset: int, taken_ms: int
    ) -> None:
        """Keep a place."""
        place = Place(claim, partition, offset, hash(notification.group_key), taken_ms)
        self._queues.setdefault(notification.channel_id, _Queue()).add(place)
        self._any.set()

    async def refill(
        self, worker: Worker, job: Callable[[Claim, ConsumerRecord], Job], submit: Callable[[Job], None]
    ) -> None:
        """Brings parked notifications back as their channels get room, and tells fallbacks of those that wait for too
        long, until cancelled."""
        while True:
            if not self._queues:
                self._any.clear()
                await self._any.wait()
            for channel_id, queue in tuple(self._queues.items()):
                try:
                    async with asyncio.timeout(_READ_TIMEOUT_S):
                        # First, since an alert's notifications are told in their order there, too.
                        if run := _first_run(queue.untold(worker.told_ms(channel_id))):
                            await self._tell(channel_id, run, worker, job)
                        elif worker.waiting(channel_id) <= self._limit // 2:
                            await self._bring(channel_id, job, submit)
                except (KafkaError, TimeoutError) as error:
                    log.warning("parked notifications wait", channel_id=channel_id, reason=type(error).__name__)
            await asyncio.sleep(_POLL_S)

    async def _bring(
        self, channel_id: str, job: Callable[[Claim, ConsumerRecord], Job], submit: Callable[[Job], None]
    ) -> None:
        queue = self._queues[channel_id]
        while queue.places and not queue.places[0].claim.live:
            queue.leave()
        run = _first_run(queue.places)
        records = await self._read(run)
        for claim, partition, offset, _, taken_ms in run:
            was_told = queue.leave()
            if not claim.live:
                continue
            record = records.get(offset)
            if record is None:
                log.error("notification lost to the topic's retention", partition=partition.partition, offset=offset)
                claim.ledger.finish(offset)
            else:
                brought = job(claim, record)
                brought.taken_ms, brought.fell_back = taken_ms, was_told
                submit(brought)
        if not queue.places:
            del self._queues[channel_id]

    async def _tell(
        self, channel_id: str, run: list[Place], worker: Worker, job: Callable[[Claim, ConsumerRecord], Job]
    ) -> None:
        """Tell the fallback of places that stay where they are; not on, once the receiver is back."""
        records = await self._read(run)
        for place in run:
            if place.taken_ms > worker.told_ms(channel_id):
                return
            record = records.get(place.offset)
            if record is not None and place.claim.live:
                await worker.fall_back(job(place.claim, record))
            self._queues[channel_id].told += 1

    async def _read(self, run: list[Place]) -> dict[int, ConsumerRecord]:
        """The records of places of one partition, by offset."""
        live = [place for place in run if place.claim.live]
        if not live:
            return {}
        partition, offsets = live[0].partition, [place.offset for place in live]
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


def _first_run(places: Iterable[Place]) -> list[Place]:
    """The next places to read in one go: of one partition, near each other."""
    run: list[Place] = []
    for place in places:
        is_elsewhere = run and (place.partition != run[0].partition or place.offset - run[0].offset > _RUN_SPAN)
        if len(run) == _RUN or is_elsewhere:
            break
        run.append(place)
    return run
