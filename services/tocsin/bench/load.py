"""Metrics to measure with: JSON of about 120 bytes, lz4, spread over partitions, written as whole record batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from tocsin.kafka.clients import KafkaConnection, producer_arguments

_BATCH_BYTES = 256 * 1024
_TRANSACTION_MS = 600_000
DONE_METRIC = "bench_done"


@dataclass(frozen=True, slots=True)
class Load:
    """`samples` over `series`, `per_message` in each message; `keyed` writes each series to one partition, with a key.

    Event time passes at `rate` samples a second and ends at `end_ms`. Values run through 0 to 999.
    """

    samples: int
    series: int
    end_ms: int
    per_message: int = 1
    keyed: bool = True
    rate: int = 10_000


def messages(load: Load, partition: int, partitions: int) -> Iterator[tuple[bytes | None, bytes]]:
    """Key and value of one partition's messages, in order."""
    texts = [
        f'"labels":{{"service":"api{number // 10}","host":"host-{number:06d}"}},"unit":"ms"}}'
        for number in range(load.series)
    ]
    begin_ms = load.end_ms - load.samples * 1_000 // load.rate
    group: list[str] = []
    is_regular = load.keyed and load.series % partitions == 0
    for index in range(partition if is_regular else 0, load.samples, partitions if is_regular else 1):
        number = index % load.series
        owner = number % partitions if load.keyed else (index // 500) % partitions
        if owner != partition:
            continue
        at_ms = begin_ms + index * 1_000 // load.rate
        value = (index * 7_919) % 1_000 + 0.5
        text = f'{{"name":"response_time","value":{value},"timestamp":{at_ms},{texts[number]}'
        key = b"%d" % number if load.keyed else None
        if load.per_message == 1:
            yield key, text.encode()
            continue
        group.append(text)
        if len(group) == load.per_message:
            yield key, f"[{','.join(group)}]".encode()
            group.clear()
    if group:
        yield None, f"[{','.join(group)}]".encode()


async def write(connection: KafkaConnection, topic: str, load: Load, partitions: int) -> None:
    """Write the load, then one sample of `DONE_METRIC` to every partition. Readers see all of it at once."""
    arguments = {**producer_arguments(connection), "max_batch_size": _BATCH_BYTES}
    producer = AIOKafkaProducer(
        **arguments, transactional_id=f"{topic}-{load.end_ms}", transaction_timeout_ms=_TRANSACTION_MS
    )
    await producer.start()
    try:
        async with producer.transaction():
            for partition in range(partitions):
                await _write_partition(producer, topic, partition, messages(load, partition, partitions))
                labels = {"partition": str(partition), "load": str(load.end_ms)}
                done = {"name": DONE_METRIC, "value": 1, "timestamp": load.end_ms, "labels": labels}
                await producer.send_and_wait(topic, orjson.dumps(done), key=b"done", partition=partition)
    finally:
        await producer.stop()


async def _write_partition(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Iterator[tuple[bytes | None, bytes]]
) -> None:
    batch = producer.create_batch()
    for key, value in records:
        if batch.append(key=key, value=value, timestamp=None) is None:
            await _send(producer, batch, topic, partition)
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None)
    if batch.record_count():
        await _send(producer, batch, topic, partition)


async def _send(producer: AIOKafkaProducer, batch: Any, topic: str, partition: int) -> None:
    batch.close()
    await (await producer.send_batch(batch, topic, partition=partition))
