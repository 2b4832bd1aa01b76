"""What delivery writes down: each attempt on `deliveries`, and what it gave up on `dlq`."""

from __future__ import annotations

import asyncio

import structlog
from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from tocsin.schemas.codec import encode
from tocsin.schemas.dead_letter import Header, kept_headers
from tocsin.schemas.notification import Delivery, Notification, Remembered
from tocsin.schemas.topics import Topics

_RETRY_S = 1.0
_MAX_DETAIL = 2_000
log = structlog.get_logger("tocsin.deliver.journal")


class Journal:
    """Writes are acknowledged by Kafka before they count; while it is away, they wait."""

    def __init__(self, producer: AIOKafkaProducer, topics: Topics) -> None:
        self._producer = producer
        self._topics = topics

    async def record(self, delivery: Delivery) -> None:
        """An attempt and its outcome."""
        await self._write(self._topics.deliveries, delivery.notification_id.encode(), encode(delivery), [])

    async def give_up(self, record: ConsumerRecord, reason: str, channel_id: str, detail: str) -> None:
        """The original record with its own headers, and what happened to it in further ones."""
        told = {
            "reason": reason,
            "topic": record.topic,
            "partition": str(record.partition),
            "offset": str(record.offset),
            "timestamp": str(record.timestamp),
            "channel_id": channel_id,
            "detail": detail[:_MAX_DETAIL],
        }
        headers, _ = kept_headers(record.headers)  # whole: the message lies on a topic that only we write to
        headers += [(name, value.encode("utf-8", "replace")) for name, value in told.items()]
        await self._write(self._topics.dlq, record.key, record.value, headers)

    async def hand_over(self, notification: Notification) -> None:
        """A notification for another channel."""
        topic = self._topics.notifications(notification.channel_type)
        await self._write(topic, notification.group_key.encode(), encode(notification), [])

    async def remember(self, entry: Remembered) -> None:
        """What a channel said."""
        await self._write(self._topics.messages, entry.key.encode(), encode(entry), [])

    async def forget(self, key: str) -> None:
        """It is over."""
        await self._write(self._topics.messages, key.encode(), None, [])

    async def _write(self, topic: str, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
        while True:
            try:
                await self._producer.send_and_wait(topic, value, key=key, headers=headers)
                return
            except (KafkaTimeoutError, KafkaConnectionError) as error:
                log.warning("Kafka is away; waiting", topic=topic, reason=type(error).__name__)
            except KafkaError as error:
                if not error.retriable:
                    raise
                log.warning("Kafka takes nothing; waiting", topic=topic, reason=type(error).__name__)
            await asyncio.sleep(_RETRY_S)
