"""One measurement: topics of its own, the services it needs, and what they cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

import orjson
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tocsin.agents.clock import clock_ms
from tocsin.bench.load import DONE_METRIC, Load, write
from tocsin.deliver.credentials import seal_config
from tocsin.kafka.admin import ensure_topics
from tocsin.kafka.clients import KafkaConnection, consumer_arguments, producer_arguments, started
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode_document
from tocsin.schemas.rule import Rule
from tocsin.schemas.topics import Topics, metric_topic_specs, topic_specs
from tocsin.testing.services import ServiceProcess
from tocsin.vault import load_or_create_key

PARTITIONS = 4
_DEADLINE_S = 600.0
BACK_METRIC = "bench_back"
_BACK = Rule.model_validate({"id": "bench_back", "metric_type": BACK_METRIC, "threshold": 0})
_DONE_SAID = b'"rule_id":"bench_done"'
_DONE = Rule.model_validate({"id": "bench_done", "metric_type": DONE_METRIC, "threshold": 0})


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run: wall time and CPU for all samples, and the memory at its end."""

    samples: int
    wall_s: float
    cpu_s: float
    rss_mib: float

    @property
    def cpu_us(self) -> float:
        """CPU a sample, in microseconds."""
        return self.cpu_s / self.samples * 1e6

    @property
    def rate(self) -> float:
        """Samples a second."""
        return self.samples / self.wall_s


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process: when, and what it had used by then."""

    at_s: float
    cpu_s: float
    rss_mib: float

    @classmethod
    def of(cls, process: psutil.Process) -> Self:
        """As it is now."""
        times = process.cpu_times()
        return cls(time.monotonic(), float(times.user + times.system), process.memory_info().rss / 2**20)

    def since(self, before: Usage) -> Usage:
        """What was used in between."""
        return Usage(self.at_s - before.at_s, self.cpu_s - before.cpu_s, self.rss_mib - before.rss_mib)

    @property
    def cpu_percent(self) -> float:
        """The share of one core."""
        return 100 * self.cpu_s / self.at_s


class Bench:
    """A cluster and a directory; each scenario takes a prefix of its own."""

    def __init__(self, servers: str, directory: Path) -> None:
        self.connection = KafkaConnection(servers)
        self._directory = directory
        self._number = 0

    @asynccontextmanager
    async def scenario(
        self, rules: Sequence[Rule], settings: Mapping[str, str] = MappingProxyType({})
    ) -> AsyncIterator[Scenario]:
        """Topics with these rules in them; `settings` are variables for the services."""
        self._number += 1
        topics = Topics(f"bench{self._number}.")
        metrics = f"{topics.prefix}metrics"
        specs = [*topic_specs(topics.prefix, PARTITIONS), *metric_topic_specs((metrics,), PARTITIONS)]
        problems = await ensure_topics(self.connection, specs)
        assert not problems, problems
        directory = self._directory / topics.prefix.rstrip(".")
        await asyncio.to_thread(directory.mkdir, mode=0o700)
        async with AsyncExitStack() as stack:
            producer = AIOKafkaProducer(**producer_arguments(self.connection))
            await stack.enter_async_context(started(producer, self.connection.bootstrap_servers))
            for rule in (*rules, _DONE, _BACK):
                await producer.send_and_wait(topics.rules, encode_document(rule), key=rule.id.encode())
            yield Scenario(self.connection, topics, metrics, directory, producer, stack, settings)


class Scenario:
    """Topics, and services on them that end with the scenario."""

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Topics,
        metrics: str,
        directory: Path,
        producer: AIOKafkaProducer,
        stack: AsyncExitStack,
        settings: Mapping[str, str],
    ) -> None:
        self.connection, self.topics, self.metrics = connection, topics, metrics
        self.producer = producer
        self._directory, self._stack, self._settings = directory, stack, settings
        self._services: dict[str, ServiceProcess] = {}

    async def start(self, *names: str) -> None:
        """Start services, and wait until they are ready."""
        environment = {
            "TOCSIN_KAFKA_BOOTSTRAP_SERVERS": self.connection.bootstrap_servers,
            "TOCSIN_KAFKA_TOPIC_PREFIX": self.topics.prefix,
            "TOCSIN_METRICS_TOPICS": self.metrics,
            "TOCSIN_DATA_DIR": str(self._directory),
            "TOCSIN_DELIVERY__ALLOW_NETWORKS": "127.0.0.0/8",
            "TOCSIN_LOG_LEVEL": "warning",
            **self._settings,
        }
        services = {name: ServiceProcess(name, environment, self._directory) for name in names}
        self._services |= services
        for service in services.values():
            self._stack.push_async_callback(service.kill)
        await asyncio.gather(*(service.start() for service in services.values()))

    async def add_webhook(self, url: str) -> None:
        """A channel `hook` that leads to a local receiver."""
        await self.add_channel(Channel(id="hook", type="webhook", config={"url": url}))

    async def add_channel(self, channel: Channel) -> None:
        """One more, which all services get to know."""
        sealed = seal_config(channel, load_or_create_key(self._directory, None))
        await self.producer.send_and_wait(self.topics.channels, encode_document(sealed), key=channel.id.encode())

    async def measure(self, load: Load) -> Cost:
        """Write a load, start evaluate, and measure until it has judged the last sample."""
        await write(self.connection, self.metrics, load, PARTITIONS)
        async with self._signals() as signals:
            await self.start("evaluate")
            return await self._judged(load, signals)

    async def feed(self, load: Load) -> Cost:
        """Write a load that evaluate, which runs, sees all at once, and measure until it has judged the last sample."""
        async with self._signals() as signals:
            await write(self.connection, self.metrics, load, PARTITIONS)
            return await self._judged(load, signals)

    @asynccontextmanager
    async def _signals(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(self.topics.signals, **consumer_arguments(self.connection))
        async with started(consumer, self.connection.bootstrap_servers):
            yield consumer

    async def _judged(self, load: Load, signals: AIOKafkaConsumer) -> Cost:
        before = self.usage()
        await self._wait_for(load.end_ms, signals)
        after = self.usage()
        used = after.since(before)
        return Cost(load.samples, used.at_s, used.cpu_s, after.rss_mib)

    def usage(self, name: str = "evaluate") -> Usage:
        """What a service has used so far."""
        return Usage.of(psutil.Process(self._services[name].pid))

    async def judged(self) -> None:
        """Wait until evaluate has judged everything that lies on the metrics topic now."""
        mark = clock_ms()
        async with self._signals() as signals:
            for partition in range(PARTITIONS):
                labels = {"partition": str(partition), "load": str(mark)}
                body = {"name": DONE_METRIC, "value": 1, "timestamp": mark, "labels": labels}
                await self.producer.send_and_wait(self.metrics, orjson.dumps(body), key=b"done", partition=partition)
            await self._wait_for(mark, signals)

    async def _wait_for(self, mark: int, signals: AIOKafkaConsumer) -> None:
        """Until evaluate has said that each partition is read up to a mark."""
        done, this = 0, f'"load":"{mark}"'.encode()
        async with asyncio.timeout(_DEADLINE_S):
            while done < PARTITIONS:
                for records in (await signals.getmany(timeout_ms=200)).values():
                    done += sum(_DONE_SAID in record.value and this in record.value for record in records)

    async def restart(self) -> float:
        """Kill evaluate; seconds from its start to its first verdict."""
        evaluate = self._services["evaluate"]
        await evaluate.kill()
        sample = {"name": BACK_METRIC, "value": 1, "timestamp": clock_ms()}
        async with self._signals() as signals:
            await signals.seek_to_end()
            await self.producer.send_and_wait(self.metrics, orjson.dumps(sample), key=b"back")
            began = time.monotonic()
            await evaluate.start()
            async with asyncio.timeout(_DEADLINE_S):
                while True:
                    for records in (await signals.getmany(timeout_ms=100)).values():
                        if any(b'"rule_id":"bench_back"' in record.value for record in records):
                            return time.monotonic() - began


def mean_rules(count: int) -> list[Rule]:
    """Means over 10 s windows of every series, each with another threshold, most of which nothing reaches."""
    body = {"metric_type": "response_time", "window": {"type": "tumbling", "size": "10s"}, "aggregation": "avg"}
    return [Rule.model_validate({**body, "id": f"bench-{n}", "threshold": 900 + n}) for n in range(count)]
