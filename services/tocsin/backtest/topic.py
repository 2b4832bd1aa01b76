"""History on a metrics topic: everything that was written since a moment, up to what is there now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from tocsin.backtest.errors import HistoryError
from tocsin.backtest.intake import Intake
from tocsin.kafka.admin import partition_counts
from tocsin.kafka.clients import KafkaConnection, consumer_arguments, started
from tocsin.schemas.metric import Reject

_RECORDS: Final = 10_000
_SILENT_S: Final = 30.0
_METADATA_S: Final = 10.0


async def read_topic(
    connection: KafkaConnection,
    topic: str,
    since_ms: int,
    intake: Intake,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    most: int | None = None,
) -> None:
    """Read a topic from a Kafka time on; `most` bounds the samples. Raises HistoryError and KafkaUnreachable."""
    consumer = AIOKafkaConsumer(**consumer_arguments(connection))
    async with started(consumer, connection.bootstrap_servers):
        try:
            async with asyncio.timeout(_METADATA_S):
                ends = await _ends(connection, consumer, topic, since_ms)
            total = sum(end - begin for begin, end in ends.values())
            done = 0
            waiting = {partition for partition, (begin, end) in ends.items() if begin < end}
            while waiting:
                async with asyncio.timeout(_SILENT_S):
                    found = await consumer.getmany(*waiting, timeout_ms=1_000, max_records=_RECORDS)
                for partition, records in found.items():
                    end = ends[partition][1]
                    _take([record for record in records if record.offset < end], intake)
                    done += len(records)
                    if most is not None and intake.store.samples > most:
                        raise HistoryError(f"{topic}: holds over {most} samples since then; ask for less with since")
                for partition in list(waiting):
                    if await consumer.position(partition) >= ends[partition][1]:
                        waiting.discard(partition)
                progress(done, total)
        except (KafkaError, TimeoutError) as error:
            raise HistoryError(f"{topic}: cannot be read ({type(error).__name__}); try again") from None


async def _ends(
    connection: KafkaConnection, consumer: AIOKafkaConsumer, topic: str, since_ms: int
) -> dict[TopicPartition, tuple[int, int]]:
    """The offsets between which to read, by partition; the consumer stands at the first."""
    if topic not in await consumer.topics():
        raise HistoryError(f"{topic}: there is no such topic; `tocsin topics check` lists those that are declared")
    count = (await partition_counts(connection, [topic]))[topic]
    partitions = [TopicPartition(topic, number) for number in range(count)]
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    begins = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    found = {}
    for partition in partitions:
        begin = begins.get(partition)
        found[partition] = (begin.offset if begin is not None else ends[partition], ends[partition])
        consumer.seek(partition, found[partition][0])
    return found


def _take(records: list[ConsumerRecord], intake: Intake) -> None:
    full = [record for record in records if record.value is not None]
    for record in records:
        if record.value is None:
            intake.reject(_place(record), Reject("tombstone", "the message has no value"))
    if full:
        times_ms = [record.timestamp for record in full]
        intake.json(lambda index: _place(full[index]), [record.value for record in full], times_ms)


def _place(record: ConsumerRecord) -> str:
    return f"{record.topic} {record.partition}-{record.offset}"
