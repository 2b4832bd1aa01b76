"""The latest samples of an alert's series, read where they lie: on the topic `samples`, which keeps a day of them.

Nothing is kept for this anywhere, and nobody else does anything for it. What a question costs is bounded: a log that is
longer than some fetches take is read in pieces that are spread evenly over the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from tocsin.agents.decompression import bound_decompression
from tocsin.agents.record_batches import BatchRefused, RecordBatch, read_in_batches
from tocsin.engine.frame import DamagedFrame, Floats, Frame, Ints, decode
from tocsin.kafka.admin import partition_counts
from tocsin.kafka.clients import KafkaConnection, consumer_arguments, started
from tocsin.schemas.labels import SEPARATOR, parse_series_key

_FETCHES: Final = 48
_FETCH_BYTES: Final = 128 * 1024
_FETCH_MS: Final = 20
_POLL_MS: Final = 200
_BATCHES: Final = 500
_END: Final = 50
_UNPACKED_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Wanted:
    """A metric, the labels of an alert about it, and the time in between (epoch ms)."""

    metric: str
    labels: Mapping[str, str]
    begin_ms: int
    end_ms: int


@dataclass(slots=True)
class Samples:
    """What was found, by series key.

    A series belongs to an alert if the labels that both have are equal. One whose labels the alert has all is what a
    rule without groups judged: then the others, of which that is not so, do not count.
    """

    wanted: Wanted
    _parts: dict[bytes, list[tuple[Ints, Floats]]] = field(default_factory=dict)
    _shared: dict[bytes, int] = field(default_factory=dict)  # by series id: its labels that the alert has, or -1
    _whole: dict[bytes, bool] = field(default_factory=dict)

    def take(self, frame: Frame) -> None:
        """The samples of one frame."""
        ids = frame.series_ids()
        fresh = [place for place, identity in enumerate(ids) if identity not in self._shared]
        for place, (key, _) in zip(fresh, frame.series_keys(fresh), strict=True):
            self._shared[ids[place]] = self._labels_shared(ids[place], key)
        mine = [place for place, identity in enumerate(ids) if self._shared[identity] >= 0]
        if not mine:
            return
        series = np.frombuffer(frame.series, np.uint32)
        at_ms, values = np.frombuffer(frame.at_ms, np.int64), np.frombuffer(frame.values, np.float64)
        in_time = (at_ms >= self.wanted.begin_ms) & (at_ms <= self.wanted.end_ms)
        for place in mine:
            chosen = in_time & (series == place)
            if chosen.any():
                self._parts.setdefault(ids[place], []).append((at_ms[chosen], values[chosen]))

    def _labels_shared(self, identity: bytes, key: bytes) -> int:
        if key.partition(SEPARATOR)[0] != self.wanted.metric.encode():
            return -1
        _, labels = parse_series_key(key)
        shared = labels.keys() & self.wanted.labels.keys()
        if any(labels[name] != self.wanted.labels[name] for name in shared):
            return -1
        self._whole[identity] = len(shared) == len(labels)
        return len(shared)

    def merged(self) -> tuple[Ints, Floats, int]:
        """Times in order, values, and of how many series they are."""
        found = list(self._parts)
        whole = [identity for identity in found if self._whole[identity]]
        if whole:
            found = [max(whole, key=lambda identity: (self._shared[identity], identity))]
        parts = [part for identity in found for part in self._parts[identity]]
        if not parts:
            return np.empty(0, np.int64), np.empty(0, np.float64), 0
        at_ms, values = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
        order = np.argsort(at_ms, kind="stable")
        return at_ms[order], values[order], len(found)


class History:
    """Reads samples, one question at a time. The connection is made for the first of them."""

    def __init__(self, connection: KafkaConnection, topic: str, limit_bytes: int = _UNPACKED_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._topic = topic
        self._connection = connection
        self._partitions: list[TopicPartition] = []
        self._arguments: dict[str, Any] = {
            **consumer_arguments(connection),
            "fetch_max_wait_ms": _FETCH_MS,
            "max_partition_fetch_bytes": _FETCH_BYTES,
            "max_poll_records": _BATCHES,
            "isolation_level": "read_committed",
        }
        self._consumer: AIOKafkaConsumer | None = None
        self._opening: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        bound_decompression(self._limit_bytes)
        read_in_batches([self._topic])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        await self._stack.aclose()

    async def read(self, wanted: Wanted) -> tuple[Ints, Floats, int]:
        """Times, values, and of how many series. Raises KafkaError and KafkaUnreachable; the caller bounds the time."""
        if self._consumer is None:
            await self._opened()
        consumer = self._consumer
        assert consumer is not None, "it was opened"
        found = Samples(wanted)
        for partition, begin, end in await self._places(consumer, wanted.begin_ms):
            await self._read(consumer, partition, begin, end, found)
        return found.merged()

    async def _opened(self) -> None:
        """Connect, once; a caller who gives up does not stop it, so that the next one finds it done."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        count = (await partition_counts(self._connection, [self._topic]))[self._topic]
        self._partitions = [TopicPartition(self._topic, number) for number in range(count)]
        consumer = AIOKafkaConsumer(**self._arguments)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(started(consumer, self._connection.bootstrap_servers))
            self._consumer, self._stack = consumer, stack.pop_all()

    async def _places(self, consumer: AIOKafkaConsumer, begin_ms: int) -> list[tuple[TopicPartition, int, int]]:
        """Where to read of each partition: what was written since the time."""
        ends = await consumer.end_offsets(self._partitions)
        begins = await consumer.offsets_for_times(dict.fromkeys(self._partitions, max(begin_ms, 0)))
        return [
            (partition, begin.offset, ends[partition])
            for partition in self._partitions
            if (begin := begins.get(partition)) is not None and begin.offset < ends[partition]
        ]

    async def _read(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, begin: int, end: int, found: Samples
    ) -> None:
        """Some fetches of a partition, in order: from places that are spread evenly, and of its end."""
        consumer.assign([partition])
        stride = -(-(end - begin) // _FETCHES)
        reached = begin
        for start in (*range(begin, end, stride), max(begin, end - _END)):
            consumer.seek(partition, place := max(start, reached))
            while place < end and reached <= place:
                fetched: Mapping[TopicPartition, Sequence[RecordBatch]] = await consumer.getmany(
                    partition, timeout_ms=_POLL_MS
                )
                for frame in _frames(fetched.get(partition, ())):
                    found.take(frame)
                reached = await consumer.position(partition)
                await asyncio.sleep(0)  # decoding holds the loop up


def _frames(batches: Iterable[RecordBatch]) -> Iterable[Frame]:
    for batch in batches:
        try:
            records = batch.unpack()
        except BatchRefused:
            continue
        for record in records:
            try:
                item = decode(record.value or b"")
            except DamagedFrame:
                continue
            if isinstance(item, Frame):
                yield item
