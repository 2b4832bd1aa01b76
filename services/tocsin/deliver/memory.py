"""What channels said about alerts that go on: the compacted topic `messages`, read whole before the first send."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from tocsin.context import Context
from tocsin.kafka.clients import consumer_arguments, read_to, started
from tocsin.schemas.codec import UnreadableRecord, decode
from tocsin.schemas.notification import Notification, Remembered

_TIMEOUT_S = 120.0
_FETCH_MS = 100
log = structlog.get_logger("tocsin.deliver.memory")


class Memory:
    """Entries by their key. A new episode of an alert, or of a group, begins with nothing."""

    def __init__(self, entries: Mapping[str, Remembered] | None = None) -> None:
        self._entries = dict(entries or {})

    def of(self, notification: Notification) -> Remembered | None:
        """What the channel said about the same episode before; a repeat finds what it said itself."""
        found = self._entries.get(f"{notification.channel_id}/{notification.group_key}")
        if found is None or notification.test:
            return None
        if found.notification_id == notification.id:
            return found
        if notification.group is not None:
            return None if notification.group.reason == "first" else found
        return found if found.episode == notification.event.starts_at else None

    def after(
        self, notification: Notification, reference: Mapping[str, str] | None = None, fallback: str = ""
    ) -> Remembered | None:
        """What is to be remembered now; None if nothing is, or it is what was known."""
        before = self.of(notification)
        kept = dict(reference) if reference else before.reference if before else {}
        fallback = fallback or (before.fallback if before else "")
        if notification.test or not (kept or fallback):
            return None
        after = Remembered(
            channel_id=notification.channel_id,
            channel_type=notification.channel_type,
            group_key=notification.group_key,
            notification_id=notification.id,
            episode=notification.event.starts_at,
            reference=kept,
            fallback=fallback,
        )
        return None if after == before else after

    def entries(self) -> tuple[Remembered, ...]:
        """All of them."""
        return tuple(self._entries.values())

    def apply(self, key: str, entry: Remembered | None) -> None:
        """Take over an entry; None forgets."""
        if entry is None:
            self._entries.pop(key, None)
        else:
            self._entries[key] = entry


def is_over(notification: Notification) -> bool:
    """Whether it is the last that is said about an episode."""
    return notification.status == "resolved"


async def read_memory(context: Context, channel_type: str | None = None) -> Memory:
    """What channels of a type said, or all channels, as the topic has it now."""
    memory = Memory()
    consumer = AIOKafkaConsumer(
        context.topics.messages, **{**consumer_arguments(context.connection), "fetch_max_wait_ms": _FETCH_MS}
    )
    async with started(consumer, context.connection.bootstrap_servers), asyncio.timeout(_TIMEOUT_S):
        partitions = list(consumer.assignment())
        await consumer.seek_to_beginning(*partitions)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        async for record in read_to(consumer, ends, _FETCH_MS):
            _take(memory, record.key or b"", record.value, channel_type)
    return memory


def _take(memory: Memory, key: bytes, value: bytes | None, channel_type: str | None) -> None:
    name = key.decode("utf-8", "replace")
    if not value:
        return memory.apply(name, None)
    try:
        entry = decode(Remembered, value)
    except UnreadableRecord as error:
        log.warning("remembered message ignored", key=name, reason=str(error))
        return None
    if channel_type in (None, entry.channel_type) and entry.key == name:
        memory.apply(name, entry)
    return None
