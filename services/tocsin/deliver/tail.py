"""What is known of earlier attempts: the end of `deliveries`, read back so that a restart repeats nothing settled."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from tocsin.context import Context
from tocsin.kafka.clients import consumer_arguments, read_to, started
from tocsin.schemas.instant import parse_instant

# Clocks of routers and delivery processes may differ, and a record's time is its sender's.
_SLACK_MS = 3_600_000
_TIMEOUT_S = 120.0
_FETCH_MS = 100
log = structlog.get_logger("tocsin.deliver.tail")


class _Entry(msgspec.Struct):
    """As much of a Delivery as is needed here."""

    notification_id: str
    channel_type: str
    outcome: str
    attempt: int
    at: str
    next_attempt_at: str | None = None
    source: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A notification that was tried and is to be tried again: attempts made, when first, and when next (epoch ms)."""

    attempts: int
    first_at_ms: int
    next_at_ms: int


@dataclass(slots=True)
class Tail:
    """Of one channel type: ids that a receiver acknowledged, places whose notification was given up, and attempts under
    way.

    What was given up is known by its place and not by its id: a redrive puts the same id in a new place.
    """

    channel_type: str = ""
    delivered: set[str] = field(default_factory=set)
    given_up: set[tuple[int, int]] = field(default_factory=set)
    begun: dict[str, Begun] = field(default_factory=dict)

    def apply(self, entry: _Entry) -> None:
        """Take over one attempt, in the order of the topic; those of other types are their own consumers' affair."""
        if entry.channel_type != self.channel_type:
            return
        identity = entry.notification_id
        if entry.outcome == "retrying":
            at_ms = parse_instant(entry.at)
            earlier = self.begun.get(identity)
            first_ms = earlier.first_at_ms if earlier else at_ms
            next_ms = parse_instant(entry.next_attempt_at) if entry.next_attempt_at else at_ms
            self.begun[identity] = Begun(entry.attempt, first_ms, next_ms)
            return
        if entry.outcome == "rate limited":
            return  # nothing was tried
        self.begun.pop(identity, None)
        if entry.outcome == "delivered":
            self.delivered.add(identity)
        elif entry.source is not None:
            self.given_up.add(entry.source)


async def read_tail(context: Context, channel_type: str, since_ms: int) -> Tail:
    """Everything written to `deliveries` since the oldest unsettled notification, an hour's slack included."""
    tail = Tail(channel_type)
    decoder = msgspec.json.Decoder(_Entry)
    arguments = {**consumer_arguments(context.connection), "fetch_max_wait_ms": _FETCH_MS}
    consumer = AIOKafkaConsumer(context.topics.deliveries, **arguments)
    async with started(consumer, context.connection.bootstrap_servers), asyncio.timeout(_TIMEOUT_S):
        ends = await _positioned(consumer, max(0, since_ms - _SLACK_MS))
        async for record in read_to(consumer, ends, _FETCH_MS):
            try:
                tail.apply(decoder.decode(record.value or b""))
            except (msgspec.DecodeError, ValueError) as error:
                log.warning("delivery entry ignored", offset=record.offset, reason=str(error))
    log.info("earlier deliveries read", channel_type=channel_type, delivered=len(tail.delivered))
    return tail


async def _positioned(consumer: AIOKafkaConsumer, since_ms: int) -> dict[TopicPartition, int]:
    """Seeks to the time; the ends of those partitions that have anything after it."""
    partitions = list(consumer.assignment())
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    begins = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    for partition in partitions:
        found = begins.get(partition)
        consumer.seek(partition, found.offset if found is not None else ends[partition])
    return {partition: end for partition, end in ends.items() if begins.get(partition) is not None}
