"""A consumer that goes on where an earlier process stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from tocsin.context import Context
from tocsin.deliver.consumer import TypeConsumer
from tocsin.deliver.lane import Claim, Job
from tocsin.deliver.parking import Parking
from tocsin.deliver.protocol import Clock
from tocsin.deliver.tail import Begun, Tail
from tocsin.kafka.clients import KafkaConnection
from tocsin.schemas.codec import encode
from tocsin.schemas.settings import Settings
from tocsin.schemas.topics import Topics
from tocsin.testing.alerts import Addressee

BEGUN = Begun(attempts=7, first_at_ms=1_000, next_at_ms=61_000)


async def test_a_parked_notification_keeps_its_attempts_and_the_receivers_rest(
    tmp_path: Path,
) -> None:
    context = Context(Settings(), KafkaConnection("127.0.0.1:1"), Topics(), tmp_path)
    around: Any = SimpleNamespace(journal=None, directory=None, transport=SimpleNamespace(clock=Clock()))
    parking = Parking(context, limit=0)
    consumer = TypeConsumer(context, "webhook", around, parking, asyncio.Event())
    notification = Addressee("hook", "webhook").notification()
    partition = TopicPartition(context.topics.notifications("webhook"), 0)
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
