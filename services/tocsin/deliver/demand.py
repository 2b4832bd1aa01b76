"""Which channel types there is something to deliver for: a consumer for each of them all would cost its share, idle."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from tocsin.agents.background import ended
from tocsin.context import Context
from tocsin.deliver.directory import Directory
from tocsin.kafka.admin import committed_offsets, partition_counts
from tocsin.kafka.clients import consumer_arguments, started

_LOOK_S = 5.0
_TIMEOUT_S = 30.0


class Demand:
    """A type is wanted once a channel has it, and where notifications of it lie that nobody has settled: those of a
    channel that was deleted, or a redrive."""

    def __init__(self, context: Context, directory: Directory) -> None:
        self._context = context
        self._directory = directory
        self._consumer = AIOKafkaConsumer(**consumer_arguments(context.connection))
        self._started = started(self._consumer, context.connection.bootstrap_servers)
        self._partitions: dict[str, list[TopicPartition]] = {}
        self._settled: dict[TopicPartition, int] = {}

    async def __aenter__(self) -> Self:
        await self._started.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._started.__aexit__(kind, error, trace)

    async def wanted(self, kinds: Collection[str]) -> set[str]:
        """Which of these are wanted now. Raises KafkaUnreachable and TimeoutError."""
        with_channels = self._directory.types & set(kinds)
        others = [kind for kind in kinds if kind not in with_channels]
        return with_channels | await self._unsettled(others) if others else with_channels

    async def wait(self, kinds: Collection[str], stop: asyncio.Event) -> None:
        """Wait until one of these may be wanted, or `stop` is set."""
        waits = [stop.wait(), self._directory.wait_for_type(kinds)] if kinds else [stop.wait()]
        tasks = [asyncio.create_task(wait) for wait in waits]
        await asyncio.wait(tasks, timeout=_LOOK_S if kinds else None, return_when=asyncio.FIRST_COMPLETED)
        await ended(*tasks)

    async def _unsettled(self, kinds: Collection[str]) -> set[str]:
        async with asyncio.timeout(_TIMEOUT_S):
            await self._learn([kind for kind in kinds if kind not in self._partitions])
            partitions = [partition for kind in kinds for partition in self._partitions[kind]]
            ends: Mapping[TopicPartition, int] = await self._consumer.end_offsets(partitions)
            moved = [partition for partition, end in ends.items() if self._settled.get(partition) != end]
            begins: Mapping[TopicPartition, int] = await self._consumer.beginning_offsets(moved) if moved else {}
            found = set()
            for kind in kinds:
                filled = [one for one in self._partitions[kind] if one in begins and begins[one] < ends[one]]
                if filled and not await self._is_settled(kind, {one: (begins[one], ends[one]) for one in filled}):
                    found.add(kind)
        self._settled = dict(ends)
        return found

    async def _is_settled(self, kind: str, spans: Mapping[TopicPartition, tuple[int, int]]) -> bool:
        """Whether the group has committed everything between the first and the last offsets."""
        committed = await committed_offsets(self._context.connection, self._context.group(f"deliver.{kind}"))
        return all(committed.get(partition, begin) >= end for partition, (begin, end) in spans.items())

    async def _learn(self, kinds: Collection[str]) -> None:
        """Which partitions the topics of types have."""
        topics = {self._context.topics.notifications(kind): kind for kind in kinds}
        counts = await partition_counts(self._context.connection, list(topics)) if topics else {}
        for topic, count in counts.items():
            self._partitions[topics[topic]] = [TopicPartition(topic, number) for number in range(count)]
