"""The channels there are, as the compacted topic has them: read whole at the start, then followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from tocsin.context import Context
from tocsin.kafka.clients import START_TIMEOUT_S, consumer_arguments, started
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import UnreadableRecord, decode_document

_FETCH_MS = 200
log = structlog.get_logger("tocsin.deliver.directory")


class Directory:
    """Channels by id, with their secrets sealed. `deleted` is set when one is no more."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}
        self._changed = asyncio.Condition()
        self.deleted = asyncio.Event()

    def get(self, channel_id: str) -> Channel | None:
        """The channel as it is now."""
        return self._channels.get(channel_id)

    @property
    def types(self) -> set[str]:
        """The types that channels have, enabled or not."""
        return {channel.type for channel in self._channels.values()}

    async def wait_for_type(self, kinds: Collection[str]) -> None:
        """Until a channel has one of these types."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self.types.isdisjoint(kinds))

    async def wait_for(self, channel_id: str, timeout_s: float) -> Channel | None:
        """The channel, waiting for a while if a notification came before it."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: channel_id in self._channels)
        except TimeoutError:
            return None
        return self._channels.get(channel_id)

    async def apply(self, channel_id: str, value: bytes | None) -> None:
        """Take over an entry of the topic; one that cannot be read leaves the last good one in force."""
        async with self._changed:
            if value is None:
                self._channels.pop(channel_id, None)
                self.deleted.set()
            else:
                try:
                    self._channels[channel_id] = decode_document(Channel, value, channel_id)
                except UnreadableRecord as error:
                    log.warning("channel entry ignored", channel_id=channel_id, reason=str(error))
            self._changed.notify_all()


@asynccontextmanager
async def opened_directory(context: Context) -> AsyncIterator[tuple[Directory, AIOKafkaConsumer]]:
    """A directory that has read the whole topic, and the consumer to `follow` it with."""
    consumer = AIOKafkaConsumer(**{**consumer_arguments(context.connection), "fetch_max_wait_ms": _FETCH_MS})
    directory = Directory()
    async with started(consumer, context.connection.bootstrap_servers):
        partition = TopicPartition(context.topics.channels, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        async with asyncio.timeout(START_TIMEOUT_S):
            end = (await consumer.end_offsets([partition]))[partition]
            while await consumer.position(partition) < end:
                await _apply_next(directory, consumer)
        yield directory, consumer


async def follow(directory: Directory, consumer: AIOKafkaConsumer) -> None:
    """Keeps the directory up to date until cancelled."""
    while True:
        await _apply_next(directory, consumer)


async def _apply_next(directory: Directory, consumer: AIOKafkaConsumer) -> None:
    fetched: dict[TopicPartition, list[ConsumerRecord]] = await consumer.getmany(timeout_ms=_FETCH_MS)
    for records in fetched.values():
        for record in records:
            await directory.apply((record.key or b"").decode("utf-8", "replace"), record.value)
