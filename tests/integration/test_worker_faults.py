"""What a worker does when its own code raises, its checkpoint is damaged, or its configuration is a bomb."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tocsin.kafka.clients import KafkaConnection, consumer_arguments, producer_arguments, started
from tocsin.schemas.codec import encode_document
from tocsin.schemas.rule import Rule
from tocsin.schemas.topics import Topics, metric_topic_specs
from tocsin.testing import collect, create_topics, eventually, pause
from tocsin.testing.services import ServiceProcess

MIB = 2**20
RULE = Rule.model_validate({"id": "high", "metric_type": "load", "threshold": 50})

# The worker as it is, but for one stage that raises on the run with the poisoned sample.
RAISES = """
from tocsin.agents import columnar
step = columnar.Columnar._step
async def failing(self, partition, items, rules):
    if any(b"poisoned" in getattr(item, "keys", b"") for item in items):
        raise RuntimeError("a bug of ours")
    await step(self, partition, items, rules)
columnar.Columnar._step = failing
from tocsin.__main__ import main
main()
"""


@pytest.fixture
def environment(kafka: str, topics: Topics, tmp_path: Path) -> Mapping[str, str]:
    return {
        "TOCSIN_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TOCSIN_KAFKA_TOPIC_PREFIX": topics.prefix,
        "TOCSIN_KAFKA_PARTITIONS": "2",
        "TOCSIN_METRICS_TOPICS": f"{topics.prefix}metrics",
        "TOCSIN_DATA_DIR": str(tmp_path / "data"),
        "TOCSIN_EVALUATE__CHECKPOINT_INTERVAL": "200ms",
        "TOCSIN_LOG_FORMAT": "json",
        "PYTHONFAULTHANDLER": "1",
    }


@pytest.fixture
async def producer(kafka: str, topics: Topics) -> Any:
    await create_topics(kafka, metric_topic_specs((f"{topics.prefix}metrics",), 1))
    async with started(AIOKafkaProducer(**producer_arguments(KafkaConnection(kafka))), kafka) as producer:
        await producer.send_and_wait(topics.rules, encode_document(RULE), key=b"high")
        yield producer


async def send(producer: AIOKafkaProducer, topics: Topics, host: str, value: float) -> None:
    body = {"name": "load", "value": value, "timestamp": time.time_ns() // 1_000_000, "labels": {"host": host}}
    await producer.send_and_wait(f"{topics.prefix}metrics", json.dumps(body).encode(), key=b"k", partition=0)


async def signals(kafka: str, topics: Topics) -> list[tuple[str, str]]:
    records = await collect(kafka, topics.signals)
    found = [json.loads(record.value) for record in records]
    return [(signal["labels"]["host"], signal["kind"]) for signal in found]


async def committed(kafka: str, topics: Topics, group: str) -> dict[int, int]:
    """Of the samples topic, by partition."""
    arguments = {**consumer_arguments(KafkaConnection(kafka)), "group_id": group}
    async with started(AIOKafkaConsumer(**arguments), kafka) as consumer:
        found = {number: await consumer.committed(TopicPartition(topics.samples, number)) for number in range(2)}
    return {number: offset or 0 for number, offset in found.items()}


async def test_a_bug_ends_the_worker_and_nothing_behind_it_is_committed(
    kafka: str, topics: Topics, environment: Mapping[str, str], producer: AIOKafkaProducer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RAISES, "evaluate", env=dict(environment), stdout=output, stderr=output
        )
    try:
        await send(producer, topics, "before", 99)
        await collect(kafka, topics.signals, count=1, deadline_s=60)
        await send(producer, topics, "poisoned", 99)
        await send(producer, topics, "after", 99)
        assert await asyncio.wait_for(process.wait(), 60) == 1
    finally:
        if process.returncode is None:
            process.kill()
    said = log.read_text("utf-8")
    assert "a bug of ours" in said
    assert "could not stop" not in said, "it ends by itself"
    assert await signals(kafka, topics) == [("before", "firing")]
    poisoned = [record for record in await collect(kafka, topics.samples) if b"poisoned" in record.value]
    offsets = await committed(kafka, topics, f"{topics.prefix}evaluate")
    assert all(offsets[record.partition] <= record.offset for record in poisoned)
    service = ServiceProcess("evaluate", environment, tmp_path)
    await service.start()
    try:
        await eventually(lambda: _hosts(kafka, topics, {"before", "poisoned", "after"}), 30)
    finally:
        await service.kill()


async def _hosts(kafka: str, topics: Topics, wanted: set[str]) -> bool:
    return {host for host, _ in await signals(kafka, topics)} == wanted


async def test_a_damaged_checkpoint_is_made_anew_from_what_the_samples_topic_holds(
    kafka: str, topics: Topics, environment: Mapping[str, str], producer: AIOKafkaProducer, tmp_path: Path
) -> None:
    service = ServiceProcess("evaluate", environment, tmp_path)
    await service.start()
    for number in range(10):
        await send(producer, topics, f"h{number}", 99)
    await eventually(lambda: _hosts(kafka, topics, {f"h{number}" for number in range(10)}), 30)
    assert await service.stop() == 0
    changelog = topics.changelog("evaluate-checkpoint-changelog")
    headers = {record.key for record in await collect(kafka, changelog) if b"/header/" in record.key and record.value}
    for header in headers:
        partition = int(header.split(b"/")[0])
        await producer.send_and_wait(changelog, b"not what was written", key=header, partition=partition)
    again = ServiceProcess("evaluate", environment, tmp_path)
    await again.start()
    try:
        for number in range(10):
            await send(producer, topics, f"h{number}", 1)
        # Only a state that knows that a host fires says that it no longer does.
        await eventually(lambda: _ended(kafka, topics, 10), 30)
    finally:
        await again.kill()
    assert "a checkpoint is damaged" in again.tail()
    records = await collect(kafka, topics.signals)
    assert len({record.value for record in records}) == 20, "what is judged again is said in the same words"


async def _ended(kafka: str, topics: Topics, count: int) -> bool:
    return len({host for host, kind in await signals(kafka, topics) if kind == "ended"}) == count


async def test_a_bomb_among_the_rules_is_passed_over(
    kafka: str, topics: Topics, environment: Mapping[str, str], producer: AIOKafkaProducer, tmp_path: Path
) -> None:
    arguments = {**producer_arguments(KafkaConnection(kafka)), "compression_type": "gzip"}
    arguments |= {"max_request_size": 2**31 - 1, "max_batch_size": 2**31 - 1, "enable_idempotence": False}
    async with started(AIOKafkaProducer(**arguments), kafka) as bomber:
        await bomber.send_and_wait(topics.rules, bytes(256 * MIB), key=b"bomb")
    service = ServiceProcess("evaluate", environment, tmp_path)
    await service.start()
    try:
        other = Rule.model_validate({"id": "other", "metric_type": "load", "threshold": 10})
        await producer.send_and_wait(topics.rules, encode_document(other), key=b"other")

        async def both() -> bool:
            await send(producer, topics, f"h{time.monotonic_ns()}", 99)
            records = await collect(kafka, topics.signals)
            return {json.loads(record.value)["rule_id"] for record in records} == {"high", "other"}

        await eventually(both, 30, poll_s=0.5)
    finally:
        await service.kill()
    assert "a record batch of configuration was passed over" in service.tail()


async def test_a_worker_that_was_paused_until_others_took_over_changes_nothing(
    kafka: str, topics: Topics, environment: Mapping[str, str], producer: AIOKafkaProducer, tmp_path: Path
) -> None:
    workers = []
    for name in ("paused", "other"):
        (tmp_path / name).mkdir()
        own = {"TOCSIN_DATA_DIR": str(tmp_path / name / "data"), "TOCSIN_KAFKA_SESSION_TIMEOUT": "6s"}
        workers.append(ServiceProcess("evaluate", {**environment, **own}, tmp_path / name))
        await workers[-1].start()
    sent: list[str] = []

    async def play(hosts: int) -> None:
        for _ in range(hosts):
            sent.append(f"h{len(sent)}")
            await send(producer, topics, sent[-1], 99)
            await pause(0.05)
            await send(producer, topics, sent[-1], 1)

    try:
        await play(20)
        os.kill(workers[0].pid, signal.SIGSTOP)
        await play(20)
        await eventually(lambda: _ended(kafka, topics, len(sent)), 60, "the other took over")
        os.kill(workers[0].pid, signal.SIGCONT)
        await play(20)
        await eventually(lambda: _ended(kafka, topics, len(sent)), 60)
        # Whoever starts from the checkpoints that there are now goes on from them.
        for worker in workers:
            await worker.kill()
            await worker.start()
        await play(10)
        await eventually(lambda: _ended(kafka, topics, len(sent)), 60)
    finally:
        for worker in workers:
            os.kill(worker.pid, signal.SIGCONT)
            await worker.kill()
    records = await collect(kafka, topics.signals)
    assert len({record.value for record in records}) == 2 * len(sent)
    for worker in workers:
        assert "damaged" not in worker.log.read_text("utf-8")
