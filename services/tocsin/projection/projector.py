"""Follows the topics and keeps the tables like them; positions and rows change in one transaction."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from tocsin.agents.clock import clock_ms
from tocsin.projection import tables
from tocsin.projection.apply import Change, apply, changes_of, unreadable
from tocsin.projection.database import Database
from tocsin.schemas.codec import UnreadableRecord
from tocsin.schemas.shadow import KEPT_MS
from tocsin.schemas.topics import Topics

_FETCH_MS = 200
_FETCH_RECORDS = 2_000
_CALL_TIMEOUT_S = 30.0
_PAUSE_S = 1.0
_PRUNE_EVERY_S = 3_600.0
_MAX_REASON = 1_000
_DATA_EXCEPTION = "22"  # SQLSTATE class: what was sent is no good, so sending it again is no use
_log = structlog.get_logger("tocsin.projection")


class _Overtaken(Exception):
    """Another process applied these records first."""


class Projector:
    """One process's hand on the projection. Several may share a PostgreSQL: each batch is applied by one of them."""

    def __init__(self, database: Database, client: Mapping[str, Any], topics: Topics, history_ms: int) -> None:
        self._database = database
        self._topics, self._changes = topics, changes_of(topics)
        self._consumer = AIOKafkaConsumer(**{**client, "fetch_max_wait_ms": _FETCH_MS})
        self._history_ms = history_ms
        self._prune_at_s = 0.0
        self._positions: dict[TopicPartition, int] = {}
        self._targets: dict[TopicPartition, int] = {}
        self._in_place = False  # whether the consumer stands where the tables are
        self._moved = asyncio.Condition()
        self.caught_up = asyncio.Event()
        self.problem = ""
        self.passed_over: Counter[str] = Counter()  # by topic: records that could not become rows

    async def run(self) -> None:
        """Follow for ever; what fails is said in `problem` and tried again, a bad record is passed over."""
        while True:
            try:
                if not self._targets:
                    await self._assign()
                if not self._in_place:
                    await self._resume()
                await self._follow()
                self.problem = ""
            except _Overtaken:
                self._in_place = False
            except (SQLAlchemyError, KafkaError, OSError, TimeoutError, UnicodeDecodeError) as error:
                # The last is aiokafka's, of a record that has a header without a name in UTF-8.
                self._in_place = False
                self.problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no answer'}"
                _log.warning("the projection stands still", reason=self.problem)
                await asyncio.sleep(_PAUSE_S)

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def start(self) -> None:
        """Connect to Kafka."""
        await self._consumer.start()

    async def reached(self, topic: str, partition: int, offset: int, timeout_s: float) -> bool:
        """Wait until a record is in the tables; False when it is not there in time."""
        target = TopicPartition(topic, partition)
        try:
            async with asyncio.timeout(timeout_s), self._moved:
                await self._moved.wait_for(lambda: self._positions.get(target, 0) > offset)
        except TimeoutError:
            return False
        return True

    async def in_step(self, topic: str, timeout_s: float) -> bool:
        """Wait until everything that is on a topic now is in the tables; False when it is not in time.

        Raises KafkaError when Kafka does not say what is there.
        """
        partitions = [partition for partition in self._targets if partition.topic == topic]
        if not partitions:
            return False
        try:
            async with asyncio.timeout(timeout_s):
                ends = await self._consumer.end_offsets(partitions)
                for partition, end in ends.items():
                    if not await self.reached(topic, partition.partition, end - 1, timeout_s):
                        return False
        except TimeoutError:
            return False
        return True

    async def until(self, condition: Callable[[], Awaitable[Any]], timeout_s: float) -> Any:
        """Wait until what `condition` finds in the tables is true, and return it; None when it is not in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    async with self._moved:
                        found = await condition()
                        if found:
                            return found
                        await self._moved.wait()
        except TimeoutError:
            return None

    def lag(self) -> dict[str, int]:
        """Records on each topic that are not in the tables yet, as far as the last fetch knows."""
        found: dict[str, int] = {}
        for partition, position in self._positions.items():
            end = self._consumer.highwater(partition)
            behind = max(0, (self._targets.get(partition, 0) if end is None else end) - position)
            found[partition.topic] = found.get(partition.topic, 0) + behind
        return found

    async def _assign(self) -> None:
        partitions = []
        for topic in self._changes:
            count: set[int] = await asyncio.wait_for(self._partitions(topic), _CALL_TIMEOUT_S)
            partitions += [TopicPartition(topic, number) for number in sorted(count)]
        self._consumer.assign(partitions)
        ends = await asyncio.wait_for(self._consumer.end_offsets(partitions), _CALL_TIMEOUT_S)
        async with self._database.reading() as connection:
            stored = await self._stored(connection)
        if any(stored.get(partition, 0) > end for partition, end in ends.items()):
            _log.warning("the database is ahead of Kafka, so it was made from another cluster; it is made anew")
            await self._database.wipe()
        self._targets = ends

    async def _partitions(self, topic: str) -> set[int]:
        while not (found := self._consumer.partitions_for_topic(topic)):
            await self._consumer._client.force_metadata_update()  # noqa: SLF001 - there is no public way to ask
            await self._consumer.topics()
        return set(found)

    async def _resume(self) -> None:
        """Go on from where the tables are, or from where the topics begin, if that was deleted since."""
        async with self._database.reading() as connection:
            stored = await self._stored(connection)
        partitions = list(self._targets)
        begins = await asyncio.wait_for(self._consumer.beginning_offsets(partitions), _CALL_TIMEOUT_S)
        for partition in partitions:
            position = max(stored.get(partition, 0), begins[partition])
            self._consumer.seek(partition, position)
            self._positions[partition] = position
        missing = [partition for partition in partitions if stored.get(partition) != self._positions[partition]]
        if missing:
            async with self._database.writing() as connection:
                for partition in missing:
                    await self._put_position(connection, partition, self._positions[partition])
        self._in_place = True
        async with self._moved:
            self._moved.notify_all()
        self._note_progress()

    async def _stored(self, connection: AsyncConnection) -> dict[TopicPartition, int]:
        rows = await connection.execute(select(tables.position))
        return {TopicPartition(row.topic, row.partition): row.next_offset for row in rows}

    async def _put_position(self, connection: AsyncConnection, partition: TopicPartition, position: int) -> None:
        table = tables.position
        where = (table.c.topic == partition.topic) & (table.c.partition == partition.partition)
        await connection.execute(delete(table).where(where))
        values = {"topic": partition.topic, "partition": partition.partition, "next_offset": position}
        await connection.execute(insert(table).values(values))

    async def _follow(self) -> None:
        fetched: dict[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
            timeout_ms=_FETCH_MS, max_records=_FETCH_RECORDS
        )
        ends = {}
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            for partition, position in self._positions.items():
                # Not the last record's: the end of a transaction uses up an offset, and is no record.
                end = await self._consumer.position(partition)
                if end > position:
                    ends[partition] = end
        if ends:
            await self._write([record for records in fetched.values() for record in records], ends)
            async with self._moved:
                self._positions |= ends
                self._moved.notify_all()
        self._note_progress()
        await self._prune()

    async def _write(self, records: Sequence[ConsumerRecord], ends: Mapping[TopicPartition, int]) -> None:
        changes = [(record, change) for record in records if (change := self._change(record))]
        try:
            async with self._advanced(ends) as connection:
                await apply(connection, [change for _, change in changes])
        except DBAPIError as error:
            if not _is_of_the_data(error):
                raise
            async with self._advanced(ends) as connection:
                for record, change in changes:
                    await self._apply_alone(connection, record, change)

    @asynccontextmanager
    async def _advanced(self, ends: Mapping[TopicPartition, int]) -> AsyncIterator[AsyncConnection]:
        """A transaction in which everything before these positions counts as applied."""
        async with self._database.writing() as connection:
            for partition in sorted(ends):  # always in this order, so that two processes never wait in a circle
                await self._advance(connection, partition, ends[partition])
            yield connection

    async def _apply_alone(self, connection: AsyncConnection, record: ConsumerRecord, change: Change) -> None:
        try:
            async with connection.begin_nested():
                await apply(connection, [change])
        except DBAPIError as error:
            if not _is_of_the_data(error):
                raise
            self._pass_over(record, str(error.orig))

    def _change(self, record: ConsumerRecord) -> Change | None:
        try:
            return self._changes[record.topic](record)
        except UnreadableRecord as error:
            self._pass_over(record, str(error))
            return unreadable(self._topics, record, str(error)[:_MAX_REASON])

    def _pass_over(self, record: ConsumerRecord, reason: str) -> None:
        self.passed_over[record.topic] += 1
        at = f"{record.topic}/{record.partition}@{record.offset}"
        _log.warning("a record was passed over", at=at, reason=reason[:_MAX_REASON])

    async def _advance(self, connection: AsyncConnection, partition: TopicPartition, end: int) -> None:
        table = tables.position
        moved = await connection.execute(
            update(table)
            .where(table.c.topic == partition.topic, table.c.partition == partition.partition)
            .where(table.c.next_offset == self._positions[partition])
            .values(next_offset=end)
        )
        if moved.rowcount != 1:
            raise _Overtaken

    def _note_progress(self) -> None:
        if not self.caught_up.is_set() and all(
            self._positions.get(partition, 0) >= end for partition, end in self._targets.items()
        ):
            self.caught_up.set()

    async def _prune(self) -> None:
        if time.monotonic() < self._prune_at_s:
            return
        self._prune_at_s = time.monotonic() + _PRUNE_EVERY_S
        now_ms = clock_ms()
        async with self._database.writing() as connection:
            for table in (tables.event, tables.delivery, tables.decision, tables.dead_letter, tables.feedback):
                await connection.execute(delete(table).where(table.c.at_ms < now_ms - self._history_ms))
            for table in (tables.shadow_event, tables.shadow_progress):
                await connection.execute(delete(table).where(table.c.at_ms < now_ms - KEPT_MS))


def _is_of_the_data(error: DBAPIError) -> bool:
    """Whether the database refused a value, rather than to work."""
    return isinstance(error, DataError) or str(getattr(error.orig, "sqlstate", "") or "").startswith(_DATA_EXCEPTION)
