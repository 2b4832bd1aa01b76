"""A rule edited a thousand times under load, through kill -9: one revision judges each sample, and no state is lost."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from aiokafka import AIOKafkaProducer

from tocsin.engine import frame
from tocsin.engine.frame import Frame, Tick
from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.schemas.codec import decode, encode_document
from tocsin.schemas.labels import parse_series_key
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal
from tocsin.schemas.topics import Topics, metric_topic_specs, topic_specs
from tocsin.testing import collect, create_topics, eventually, pause
from tocsin.testing.services import ServiceProcess

PARTITIONS = 2
SERIES = 30
STEPS = 300
EDITS_A_STEP = 4
WALL_S = 0.04
KILLED_AT = 150
OTHERS = 20
THE_LAST = "last"
Said = list[tuple[str, int]]  # of one series: what, by which revision


@dataclass
class World:
    kafka: str
    topics: Topics
    metrics: str
    evaluate: ServiceProcess
    producer: AIOKafkaProducer

    async def put(self, rule: Rule) -> None:
        await self.producer.send(self.topics.rules, encode_document(rule), key=rule.id.encode())

    async def send(self, name: str, series: int, value: float) -> None:
        body = {
            "name": name,
            "value": value,
            "timestamp": time.time_ns() // 1_000_000,
            "labels": {"series": str(series)},
        }
        partition = series % PARTITIONS
        await self.producer.send(self.metrics, json.dumps(body).encode(), key=b"%d" % series, partition=partition)

    async def signals(self, rule_id: str) -> list[Signal]:
        found = [decode(Signal, record.value) for record in await collect(self.kafka, self.topics.signals)]
        return [signal for signal in found if signal.rule_id == rule_id]


@asynccontextmanager
async def world(kafka: str, directory: Path, prefix: str) -> AsyncIterator[World]:
    topics, metrics = Topics(prefix), f"{prefix}metrics"
    await create_topics(kafka, [*topic_specs(prefix, PARTITIONS), *metric_topic_specs((metrics,), PARTITIONS)])
    environment = {
        "TOCSIN_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TOCSIN_KAFKA_TOPIC_PREFIX": prefix,
        "TOCSIN_METRICS_TOPICS": metrics,
        "TOCSIN_DATA_DIR": str(directory),
        "TOCSIN_EVALUATE_CHECKPOINT_INTERVAL": "1s",
    }
    evaluate = ServiceProcess("evaluate", environment, directory)
    async with AsyncExitStack() as stack:
        producer = AIOKafkaProducer(**producer_arguments(KafkaConnection(kafka)))
        await stack.enter_async_context(started(producer, kafka))
        stack.push_async_callback(evaluate.kill)
        yield World(kafka, topics, metrics, evaluate, producer)


def rule_of(threshold: float, rule_id: str = "edited", metric: str = "load") -> Rule:
    return Rule(id=rule_id, metric_type=metric, threshold=threshold)


async def test_each_sample_is_judged_by_one_revision(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        for number in range(OTHERS):
            await at.put(rule_of(2_000.0, f"other{number}"))
        await at.put(rule_of(0.0, THE_LAST, THE_LAST))
        await at.put(rule_of(50.0))
        await at.producer.flush()
        await at.evaluate.start()
        for step in range(STEPS):
            if step == KILLED_AT:
                await at.evaluate.kill()
                await at.evaluate.start()
            for edit in range(EDITS_A_STEP):
                await at.put(rule_of(20.0 + (step * EDITS_A_STEP + edit) * 17 % 60))
            for series in range(SERIES):
                await at.send("load", series, (step * 7 + series * 13) % 100)
            await pause(WALL_S)
        for partition in range(PARTITIONS):
            await at.send(THE_LAST, partition, 1.0)
        await at.producer.flush()

        async def is_over() -> bool:
            return len({signal.fingerprint for signal in await at.signals(THE_LAST)}) == PARTITIONS

        await eventually(is_over, 60, f"the last sample's verdict; {at.evaluate.tail()}", poll_s=0.5)
        signals = {signal.id: signal for signal in await at.signals("edited")}
        found: dict[str, Said] = {}
        for signal in sorted(signals.values(), key=lambda signal: signal.order):
            found.setdefault(signal.labels["series"], []).append((signal.kind, signal.revision))
        assert found == await modelled(at)
        assert len({signal.revision for signal in signals.values()}) > 10
        assert len({signal.order[0] for signal in signals.values()}) == 1, "its state went on through every edit"


async def modelled(at: World) -> dict[str, Said]:
    """What must be said of each series, going sample by sample through the log with the rule in force at each."""
    rules = [
        (record.offset, json.loads(record.value)["threshold"])
        for record in await collect(at.kafka, at.topics.rules)
        if record.key == b"edited"
    ]
    by_partition: dict[int, list[bytes]] = {}
    for record in await collect(at.kafka, at.topics.samples):
        by_partition.setdefault(record.partition, []).append(record.value)
    said: dict[str, Said] = {}
    for values in by_partition.values():
        end, applied = 0, dict[int, int]()
        for item in map(frame.decode, values):
            if isinstance(item, Tick):
                end = max(end, item.rules_offset)
                continue
            revision, threshold = next((offset, limit) for offset, limit in reversed(rules) if offset < end)
            for series, value in samples_of(item, applied):
                mine = said.setdefault(series, [])
                fires = bool(mine) and mine[-1][0] == "firing"
                if fires is not (value > threshold):
                    mine.append(("ended" if fires else "firing", revision))
    return {series: mine for series, mine in said.items() if mine}


def samples_of(item: Frame, applied: dict[int, int]) -> Iterator[tuple[str, float]]:
    """Series and value of each sample of the load that was not there before: after a kill they come again."""
    names = [parse_series_key(key) for key, _ in item.series_keys(range(len(item.series_ids())))]
    offsets = np.frombuffer(item.offsets, np.uint32).astype(np.int64) + item.base_offset
    numbers, values = np.frombuffer(item.series, np.uint32), np.frombuffer(item.values, np.float64)
    for offset, number, value in zip(offsets.tolist(), numbers.tolist(), values.tolist(), strict=True):
        if offset <= applied.get(item.partition, -1):
            continue
        applied[item.partition] = offset
        if names[number][0] == "load":
            yield names[number][1]["series"], value
