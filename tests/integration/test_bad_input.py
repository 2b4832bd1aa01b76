"""What is no sample goes to the dead-letter topic with its reason and place; what lies beside it is judged."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord

from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.schemas.codec import encode_document
from tocsin.schemas.dead_letter import Header, restored_headers
from tocsin.schemas.rule import Rule
from tocsin.schemas.topics import Topics, metric_topic_specs
from tocsin.testing import collect, create_topics, eventually
from tocsin.testing.services import ServiceProcess

MIB = 2**20
# What unpacks to four times as much as a process may grow, or as the broker's limit for packed batches lets through.
BOMBS = {"gzip": 256 * MIB, "zstd": 256 * MIB, "lz4": 256 * MIB, "snappy": 36 * MIB}
GROWTH_MIB = 64
# A message's own headers, of which some are named as those of a dead letter.
OWN: list[Header] = [("trace", b"1"), ("reason", b"mine"), ("trace", b"2"), ("nothing", None), ("message-x", b"")]
SENT_MS = time.time_ns() // 1_000_000 - 3_600_000


def sample(value: Any, **changes: Any) -> bytes:
    body = {"name": "load", "value": value, "timestamp": time.time_ns() // 1_000_000, "labels": {"host": "a"}}
    return json.dumps({**body, **changes}).encode()


def bad_messages() -> dict[str, list[bytes]]:
    """By the reason that is wanted."""
    ahead_ms = time.time_ns() // 1_000_000 + 7 * 86_400_000
    return {
        "json": [b'{"name": "load", ', b"", b"[" * 5_000],
        "type": [sample("high"), sample(True), b'{"value": 1}', b"17", b'{"name": 5, "value": 1}'],
        "value": [sample(1).replace(b'"value": 1', b'"value": 1e400')],
        "labels": [sample(1, labels={f"l{n}": "x" for n in range(65)}), sample(1, labels={"a": 5})],
        "timestamp": [sample(1, timestamp=ahead_ms), sample(1, timestamp="yesterday")],
        "size": [sample(1, labels={"a": "x" * 20_000})],
        "utf8": [b'{"name": "load\xff", "value": 1}'],
    }


def headers(record: ConsumerRecord) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in record.headers}


@pytest.fixture
async def evaluate(kafka: str, topics: Topics, tmp_path: Path) -> Any:
    metrics = f"{topics.prefix}metrics"
    await create_topics(kafka, metric_topic_specs((metrics,), 1))
    rule = Rule.model_validate({"id": "high", "metric_type": "load", "threshold": 50})
    async with started(AIOKafkaProducer(**producer_arguments(KafkaConnection(kafka))), kafka) as producer:
        await producer.send_and_wait(topics.rules, encode_document(rule), key=b"high")
    environment = {
        "TOCSIN_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TOCSIN_KAFKA_TOPIC_PREFIX": topics.prefix,
        "TOCSIN_KAFKA_PARTITIONS": "2",
        "TOCSIN_METRICS_TOPICS": metrics,
        "TOCSIN_DATA_DIR": str(tmp_path / "data"),
    }
    service = ServiceProcess("evaluate", environment, tmp_path)
    await service.start()
    yield service
    await service.kill()


async def test_bad_messages_are_buried_and_good_ones_beside_them_judged(
    kafka: str, topics: Topics, evaluate: ServiceProcess
) -> None:
    bad = bad_messages()
    wanted: dict[int, str] = {}
    nan = sample(1).replace(b'"value": 1', b'"value": NaN')
    mixed = b"[" + b",".join([sample(99, labels={"host": "in-array"}), sample("x"), sample(2)]) + b"]"
    async with started(AIOKafkaProducer(**producer_arguments(KafkaConnection(kafka))), kafka) as producer:
        for number, (reason, message) in enumerate((reason, one) for reason, all_ in bad.items() for one in all_):
            sent = await producer.send_and_wait(
                f"{topics.prefix}metrics", message, key=b"k", partition=0, headers=OWN, timestamp_ms=SENT_MS + number
            )
            wanted[sent.offset] = reason
            good = sample(99, labels={"host": f"beside-{number}"})
            await producer.send_and_wait(f"{topics.prefix}metrics", good, partition=0)
        for message, reason in ((nan, "json"), (mixed, "type")):
            sent = await producer.send_and_wait(f"{topics.prefix}metrics", message, partition=0)
            wanted[sent.offset] = reason
    dead = await collect(kafka, topics.dlq, until=lambda records: len(records) >= len(wanted))
    found = {int(headers(record)["offset"]): headers(record) for record in dead}
    assert {offset: one["reason"] for offset, one in found.items()} == wanted
    assert all(one["topic"] == f"{topics.prefix}metrics" and one["partition"] == "0" for one in found.values())
    assert all(one["detail"] for one in found.values())
    redriven = [restored_headers(record.headers) for record in dead if record.key == b"k"]
    assert redriven == [OWN] * (len(wanted) - 2)
    times = [int(headers(record)["timestamp"]) for record in dead if record.key == b"k"]
    assert sorted(times) == list(range(SENT_MS, SENT_MS + len(redriven)))
    fired = await collect(kafka, topics.signals, until=lambda records: len(records) >= len(wanted) - 1)
    hosts = {json.loads(record.value)["labels"]["host"] for record in fired}
    assert hosts == {"in-array", *(f"beside-{number}" for number in range(len(wanted) - 2))}


@pytest.mark.parametrize("codec", BOMBS)
async def test_a_bomb_is_one_dead_letter_and_costs_no_memory(
    kafka: str, topics: Topics, evaluate: ServiceProcess, codec: str
) -> None:
    metrics = f"{topics.prefix}metrics"
    process = psutil.Process(evaluate.pid)
    arguments = {**producer_arguments(KafkaConnection(kafka)), "compression_type": codec}
    arguments |= {"max_request_size": 2**31 - 1, "max_batch_size": 2**31 - 1, "enable_idempotence": False}
    async with started(AIOKafkaProducer(**arguments), kafka) as producer:
        first = await producer.send_and_wait(metrics, sample(99, labels={"host": "before"}), partition=0)
        await collect(kafka, topics.signals, count=1)
        before = process.memory_info().rss
        bomb = await producer.send_and_wait(metrics, bytes(BOMBS[codec]), partition=0)
        await producer.send_and_wait(metrics, sample(99, labels={"host": "after"}), partition=0)
    dead = await collect(kafka, topics.dlq, count=1, deadline_s=60)
    peak = _peak_rss(process)
    told = headers(dead[0])
    assert (told["reason"], told["topic"], told["partition"]) == ("compression", metrics, "0")
    assert (int(told["offset"]), bomb.offset > first.offset) == (bomb.offset, True)
    await eventually(lambda: _hosts(kafka, topics), 20)
    assert (max(peak, process.memory_info().rss) - before) / MIB <= GROWTH_MIB


async def _hosts(kafka: str, topics: Topics) -> bool:
    fired = await collect(kafka, topics.signals)
    return {json.loads(record.value)["labels"]["host"] for record in fired} == {"before", "after"}


def _peak_rss(process: psutil.Process) -> int:
    """The most that the process ever held."""
    status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1_024
