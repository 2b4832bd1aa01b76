"""What agents send: one idempotent producer, in order per partition, every record acknowledged or the worker stops."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from tocsin.schemas.dead_letter import Header

_SEND_TIMEOUT_S: Final = 120.0
_LARGEST_RECORD: Final = 8 * 2**20
_BATCH_BYTES: Final = 2**20

Sent = asyncio.Future[Any]


class Outbox:
    """A producer that starts with its worker. Sending returns a future that is done when Kafka has the record."""

    def __init__(self, client: dict[str, Any]) -> None:
        self._producer = AIOKafkaProducer(
            **client,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_request_size=_LARGEST_RECORD,
            max_batch_size=_BATCH_BYTES,
        )

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Send what is waiting, and disconnect."""
        await self._producer.stop()

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[Header] | None = None,
    ) -> Sent:
        """Queue one record."""
        # Not `wait_for`, which makes a task of each: that is most of what a storm of signals costs.
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            sent: Sent = await self._producer.send(topic, value, key=key, partition=partition, headers=headers)
        return sent

    async def acknowledged(self, sent: Iterable[Sent]) -> list[Any]:
        """Wait until all are on Kafka; raises what went wrong, and then nothing may be committed."""
        every = list(sent)
        waiting = [one for one in every if not one.done()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=_SEND_TIMEOUT_S)
            if late:
                raise TimeoutError
        failed = [error for one in every if (error := one.exception()) is not None]
        if failed:
            raise failed[0]
        return [one.result() for one in every]

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        found = await asyncio.wait_for(self._producer.partitions_for(topic), _SEND_TIMEOUT_S)
        return len(found)
