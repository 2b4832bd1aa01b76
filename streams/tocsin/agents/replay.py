"""Reads a stretch of one samples partition again, beside Faust's own reading.

Faust starts where the group's offset says; a state that is older than that (its checkpoint was damaged or is gone)
needs what lies before. Seeking Faust's consumer back would race with the runs that it has fetched already.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from tocsin.agents.record_batches import RecordBatch, read_in_batches

_CALL_TIMEOUT_S: Final = 30.0
_POLL_MS: Final = 200
_BATCHES: Final = 64


class Stretch:
    """One partition, read by nobody else."""

    def __init__(self, consumer: AIOKafkaConsumer, tp: TP) -> None:
        self._consumer = consumer
        self._partition = TopicPartition(tp.topic, tp.partition)

    @classmethod
    @asynccontextmanager
    async def opened(cls, client: Mapping[str, Any], tp: TP) -> AsyncIterator[Self]:
        """A connection of its own, for as long as the block lasts."""
        read_in_batches([tp.topic])
        consumer = AIOKafkaConsumer(
            **client,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=_BATCHES,
        )
        await asyncio.wait_for(consumer.start(), _CALL_TIMEOUT_S)
        try:
            yield cls(consumer, tp)
        finally:
            await consumer.stop()

    async def beginning(self) -> int:
        """The first offset that is still there."""
        found: dict[TopicPartition, int] = await asyncio.wait_for(
            self._consumer.beginning_offsets([self._partition]), _CALL_TIMEOUT_S
        )
        return found[self._partition]

    async def read(self, begin: int, end: int) -> AsyncIterator[Sequence[RecordBatch]]:
        """Runs of record batches from one offset to before another; the last run may reach beyond. `end` must exist."""
        self._consumer.assign([self._partition])
        self._consumer.seek(self._partition, begin)
        while await self._consumer.position(self._partition) < end:
            fetched = await self._consumer.getmany(self._partition, timeout_ms=_POLL_MS)
            if run := fetched.get(self._partition):
                yield run
