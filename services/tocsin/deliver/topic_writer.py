"""Writes notifications to users' topics, and to none of tocsin's own, which would be to forge rules and alerts."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tocsin.deliver.protocol import Permanent, Transient
from tocsin.schemas.dead_letter import Header


class TopicWriter:
    """The cluster that tocsin works on; `own` are the metrics topics, which belong to producers."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str, own: Sequence[str]) -> None:
        self._producer = producer
        self._prefix = prefix
        self._own = frozenset(own)

    async def write(self, topic: str, key: bytes, value: bytes, headers: Sequence[Header]) -> tuple[int, int]:
        """Where the record lies: partition and offset. The caller bounds the time. Raises Transient and Permanent."""
        if (self._prefix and topic.startswith(self._prefix)) or topic in self._own or topic.startswith("__"):
            raise Permanent(f"topic: {topic!r} is one of tocsin's or Kafka's own; choose another")
        try:
            done = await self._producer.send_and_wait(topic, value, key=key, headers=list(headers))
        except KafkaError as error:
            reason = f"Kafka did not take it: {type(error).__name__}"
            raise (Transient if error.retriable else Permanent)(reason) from None
        return done.partition, done.offset
