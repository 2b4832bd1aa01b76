"""Follows one compacted topic from its beginning, without a group: every worker reads it whole.

It is read by the batch: one that is damaged, or unpacks to more than allowed, is passed over and named in the log. What
it would have changed stays as it was, in this worker and in all others alike.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from tocsin.agents.record_batches import BatchRefused, read_in_batches

_CALL_TIMEOUT_S: Final = 30.0
_POLL_MS: Final = 200

_log = structlog.get_logger("tocsin.configuration")

OnRecord = Callable[[int, bytes, bytes | None, int], None]


class ConfigLog:
    """Calls `on_record` (offset, key, value, time in ms) for every record of all partitions; configuration has one."""

    def __init__(self, client: dict[str, Any], topic: str, on_record: OnRecord, partitions: int = 1) -> None:
        read_in_batches([topic])
        self._consumer = AIOKafkaConsumer(
            **client, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=_POLL_MS
        )
        # Answers come in the order of questions: one that shares the connection waits as long as a fetch may wait.
        self._asker = AIOKafkaConsumer(**client, enable_auto_commit=False)
        self._positions = {TopicPartition(topic, partition): 0 for partition in range(partitions)}
        self._on_record = on_record
        self._moved = asyncio.Condition()
        self._first = TopicPartition(topic, 0)

    @property
    def position(self) -> int:
        """The offset after the last record read, of the first partition."""
        return self._positions[self._first]

    async def start(self) -> None:
        """Read everything there is now; `follow` goes on from there."""
        await asyncio.wait_for(asyncio.gather(self._consumer.start(), self._asker.start()), _CALL_TIMEOUT_S)
        self._consumer.assign(list(self._positions))
        await self._consumer.seek_to_beginning(*self._positions)
        ends = await self._ends()
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            while not self._has_reached(ends):
                await self._read()

    async def follow(self) -> None:
        """Go on reading, for ever."""
        while True:
            await self._read()

    async def stop(self) -> None:
        """Disconnect."""
        await asyncio.gather(self._consumer.stop(), self._asker.stop())

    async def reach(self, position: int, timeout_s: float = _CALL_TIMEOUT_S) -> None:
        """Wait until everything below an offset of the first partition was read; raises TimeoutError."""
        await self._wait({self._first: position}, timeout_s)

    async def catch_up(self) -> None:
        """Wait until everything that is on the topic now was read; raises TimeoutError."""
        await self._wait(await self._ends(), _CALL_TIMEOUT_S)

    async def _wait(self, ends: Mapping[TopicPartition, int], timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s), self._moved:
            await self._moved.wait_for(lambda: self._has_reached(ends))

    def _has_reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        return all(self._positions[partition] >= end for partition, end in ends.items())

    async def _ends(self) -> dict[TopicPartition, int]:
        ends: dict[TopicPartition, int] = await asyncio.wait_for(
            self._asker.end_offsets(list(self._positions)), _CALL_TIMEOUT_S
        )
        return ends

    async def _read(self) -> None:
        fetched = await self._consumer.getmany(timeout_ms=_POLL_MS)
        for batch in (one for batches in fetched.values() for one in batches):
            try:
                records = batch.unpack()
            except BatchRefused as refused:
                at = f"{batch.topic}/{batch.partition}@{batch.first}-{batch.offset}"
                _log.error("a record batch of configuration was passed over", at=at, reason=str(refused))
                continue
            for record in records:
                if record.key is not None:
                    self._on_record(record.offset, record.key, record.value, record.timestamp)
        positions = {partition: await self._consumer.position(partition) for partition in self._positions}
        if positions != self._positions:
            async with self._moved:
                self._positions = positions
                self._moved.notify_all()
