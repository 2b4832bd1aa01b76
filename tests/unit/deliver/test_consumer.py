"""A consumer that goes on where an earlier process stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from tocsin.context import Context
from tocsin.deliver.consumer import TypeConsumer
from tocsin.deliver.lane import Claim, Job
from tocsin.deliver.memory import Memory
from tocsin.deliver.parking import Parking
from tocsin.deliver.protocol import Clock
from tocsin.deliver.tail import Begun, Tail
from tocsin.kafka.clients import KafkaConnection
from tocsin.schemas.codec import encode
from tocsin.schemas.settings import Settings
from tocsin.schemas.topics import Topics
from tocsin.testing.alerts import Addressee

BEGUN = Begun(attempts=7, first_at_ms=1_000, next_at_ms=61_000)


HOUR_MS = 3_600_000
TOPIC = Topics().notifications("webhook")


def consumer_of(folder: Path) -> tuple[TypeConsumer, Parking]:
    context = Context(Settings(), KafkaConnection("127.0.0.1:1"), Topics(), folder)
    around: Any = SimpleNamespace(journal=None, directory=None, transport=SimpleNamespace(clock=Clock()))
    parking = Parking(context, limit=0)
    return TypeConsumer(context, "webhook", around, parking, asyncio.Event()), parking


async def test_a_parked_notification_keeps_its_attempts_and_the_receivers_rest(
    tmp_path: Path,
) -> None:
    consumer, parking = consumer_of(tmp_path)
    notification = Addressee("hook", "webhook").notification()
    partition = TopicPartition(TOPIC, 0)
    record: Any = SimpleNamespace(partition=0, offset=5, value=encode(notification))
    consumer._tail = Tail(begun={notification.id: BEGUN})
    claim = Claim()
    assert claim.ledger.begin(5)

    await consumer._take_one(claim, partition, record)
    assert parking.takes(notification, 0), "it was to be parked"
    submitted: list[Job] = []
    consumer._worker.submit = submitted.append  # type: ignore[method-assign,assignment]
    consumer._submit(consumer._job(claim, record))
    (job,) = submitted
    assert (job.attempts, job.first_at_ms, job.not_before_ms) == (7, 1_000, 61_000)
    assert consumer._job(claim, record).attempts == 0, "a redrive begins anew"
    await consumer._consumer.stop()


async def test_what_was_said_is_read_since_the_oldest_that_was_left_in_whichever_partition_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer, _ = consumer_of(tmp_path)
    partitions = [TopicPartition(TOPIC, number) for number in range(4)]
    asked: list[int] = []

    async def tail(_context: Context, _kind: str, since_ms: int) -> Tail:
        asked.append(since_ms)
        return Tail("webhook", {f"since {since_ms}"})

    async def memory(_context: Context, _kind: str) -> Memory:
        return Memory()

    async def ends(_partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 10)

    async def taken(*_given: Any) -> None:
        pass

    async def fetch(number: int, offset: int, hour: int) -> list[int]:
        record: Any = SimpleNamespace(offset=offset, timestamp=hour * HOUR_MS)
        await consumer._take({partitions[number]: [record]})
        return asked

    monkeypatch.setattr("tocsin.deliver.consumer.read_tail", tail)
    monkeypatch.setattr("tocsin.deliver.consumer.read_memory", memory)
    monkeypatch.setattr(consumer._consumer, "end_offsets", ends)
    monkeypatch.setattr(consumer, "_take_one", taken)
    await consumer.on_partitions_assigned(set(partitions))
    assert await fetch(0, 5, 90) == [90 * HOUR_MS]
    assert await fetch(1, 5, 95) == [90 * HOUR_MS], "later than what is known"
    assert await fetch(2, 5, 80) == [90 * HOUR_MS, 80 * HOUR_MS], "a fetch of one partition leaves out the others"
    assert consumer._worker._is_delivered(f"since {80 * HOUR_MS}")
    await fetch(2, 6, 70)
    assert len(await fetch(3, 10, 60)) == 2, "a redrive of later has its old time"
    await consumer.on_partitions_assigned(set(partitions))
    assert (await fetch(0, 5, 90))[2:] == [90 * HOUR_MS]
    await consumer._consumer.stop()
