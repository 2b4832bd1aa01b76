"""Follows one compacted configuration topic from its beginning, without a group: every worker reads it whole.

It is read by the batch: one that is damaged, or unpacks to more than allowed, is passed over and named in the log. What
it would have changed stays as it was, in this worker and in all others alike.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from tocsin.agents.record_batches import read_in_batches

_CALL_TIMEOUT_S: Final = 30.0
_POLL_MS: Final = 200

_log = structlog.get_logger("tocsin.configuration")

OnRecord = Callable[[int, bytes, bytes | None, int], None]


class ConfigLog:
    """Calls `on_record` (offset, key, value, time in ms) for every record. `position` is the offset after the last one
    read."""

    def __init__(self, client: dict[str, Any], topic: str, on_record: OnRecord) -> None:
        read_in_batches([topic])
        self._consumer = AIOKafkaConsumer(
            **client, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=_POLL_MS
        )
        # Answers come in the order of questions: one that shares the connection waits as long as a fetch may wait.
        self._asker = AIOKafkaConsumer(**client, enable_auto_commit=False)
        self._partition = TopicPartition(topic, 0)
        self._on_record = on_record
        self._moved = asyncio.Condition()
        self.position = 0

    async def start(self) -> None:
        """Read everything there is now; `follow` goes on from there."""
        await asyncio.wait_for(asyncio.gather(self._consumer.start(), self._asker.start()), _CALL_TIMEOUT_S)
        self._consumer.assign([self._partition])
        await self._consumer.seek_to_beginning(self._partition)
        end = await self._end()
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            while self.position < end:
                await self._read()

    async def follow(self) -> None:
        """Go on reading, for ever."""
        while True:
            await self._read()

    async def stop(self) -> None:
        """Disconnect."""
        await asyncio.gather(self._consumer.stop(), self._asker.stop())

    async def reach(self, position: int, timeout_s: float = _CALL_TIMEOUT_S) -> None:
        """Wait until everything below an offset was read; raises TimeoutError."""
        async with asyncio.timeout(timeout_s), self._moved:
            await self._moved.wait_for(lambda: self.position >= position)

    async def catch_up(self) -> None:
        """Wait until everything that is on the topic now was read; raises TimeoutError."""
        await self.reach(await self._end())

    async def _end(self) -> int:
        ends: dict[TopicPartition, int] = await asyncio.wait_for(
            self._asker.end_offsets([self._partition]), _CALL_TIMEOUT_S
        )
        return ends[self._partition]

    async def _read(self) -> None:
        fetched = await self._consumer.getmany(self._partition, timeout_ms=_POLL_MS)
        for batch in fetched.get(self._partition, ()):
            if batch.refused:
                at = f"{batch.topic}/{batch.partition}@{batch.first}-{batch.offset}"
                _log.error("a record batch of configuration was passed over", at=at, reason=batch.refused)
            for record in batch.records:
                if record.key is not None:
                    self._on_record(record.offset, record.key, record.value, record.timestamp)
        position = await self._consumer.position(self._partition)
        if position != self.position:
            async with self._moved:
                self.position = position
                self._moved.notify_all()
