"""A changed rule beside the one in force, with real services: what it would change is reported, and then it does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaProducer

from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.schemas.topics import Topics, metric_topic_specs, topic_specs
from tocsin.testing import collect, create_topics, eventually, own_port
from tocsin.testing.services import ServiceProcess

PARTITIONS = 2
TOKEN = "the-token-of-this-test"
RULE: dict[str, Any] = {"id": "slow", "metric_type": "response_time", "threshold": 1000, "notifications": ["terminal"]}
CANDIDATE = {**RULE, "threshold": 2000}
SHADOW = "/rules/slow/shadow"


@dataclass
class World:
    kafka: str
    topics: Topics
    metrics: str
    session: aiohttp.ClientSession
    producer: AIOKafkaProducer
    services: dict[str, ServiceProcess]

    async def call(self, method: str, path: str, body: Any = None, wanted: int = 200) -> Any:
        async with self.session.request(method, f"/api/v1{path}", json=body) as answer:
            content = await answer.read()
            assert answer.status == wanted, f"{method} {path}: {answer.status} {content!r}"
            return json.loads(content) if content else None

    async def measure(self, value: float, *hosts: str) -> None:
        """One sample of each host, now."""
        at_ms = time.time_ns() // 1_000_000
        for host in hosts:
            sample = {"name": "response_time", "value": value, "timestamp": at_ms, "labels": {"host": host}}
            await self.producer.send_and_wait(self.metrics, json.dumps(sample).encode(), key=host.encode())

    async def totals(self) -> tuple[int, int, int]:
        found = (await self.call("GET", SHADOW))["totals"]
        return found["both"], found["only_current"], found["only_candidate"]


@asynccontextmanager
async def world(kafka: str, directory: Path, prefix: str) -> AsyncIterator[World]:
    topics, metrics, port = Topics(prefix), f"{prefix}metrics", own_port()
    await create_topics(kafka, [*topic_specs(prefix, PARTITIONS), *metric_topic_specs((metrics,), PARTITIONS)])
    environment = {
        "TOCSIN_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TOCSIN_KAFKA_TOPIC_PREFIX": prefix,
        "TOCSIN_KAFKA_PARTITIONS": str(PARTITIONS),
        "TOCSIN_METRICS_TOPICS": metrics,
        "TOCSIN_DATA_DIR": str(directory),
        "TOCSIN_API_PORT": str(port),
        "TOCSIN_API_TOKEN": TOKEN,
        "TOCSIN_LOG_FORMAT": "console",
    }
    services = {name: ServiceProcess(name, environment, directory) for name in ("evaluate", "route", "api")}
    async with AsyncExitStack() as stack:
        producer = AIOKafkaProducer(**producer_arguments(KafkaConnection(kafka)))
        await stack.enter_async_context(started(producer, kafka))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers))
        for service in services.values():
            stack.push_async_callback(service.kill)
        await asyncio.gather(*(service.start() for service in services.values()))
        yield World(kafka, topics, metrics, session, producer, services)


async def test_a_changed_rule_is_compared_and_nobody_hears_of_it(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        await begin(at)
        await at.call("PUT", "/rules/new/shadow", {"rule": {**CANDIDATE, "id": "new"}, "for": "1h"}, 201)
        await both_fire_for_a_and_the_rule_for_b(at)
        report = await at.call("GET", SHADOW)
        assert report["only_current"][0]["labels"] == {"host": "b"}
        assert report["both"][0]["labels"] == {"host": "a"}
        assert report["notifications"] == {"added": 0, "removed": 1}
        assert (await at.call("GET", "/rules/new/shadow"))["totals"]["only_candidate"] == 1

        async def counted() -> bool:
            judged = (await at.call("GET", SHADOW))["judged"]
            return bool(judged["series"] == 2 and judged["samples"] >= 2)

        await eventually(counted, 40, "it is said how much the candidate has seen", poll_s=0.5)
        assert (await at.call("GET", "/alerts/active"))["total"] == 2
        told = await collect(kafka, at.topics.notifications("console"))
        assert {json.loads(record.value)["event"]["rule_id"] for record in told} == {"slow"}
        states = await collect(kafka, at.topics.alert_state)
        assert not [record.key for record in states if record.key.startswith(b"shadow/")]


async def test_a_promoted_candidate_is_in_force_whatever_is_killed(
    kafka: str, tmp_path: Path, topic_prefix: str
) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        await begin(at)
        await both_fire_for_a_and_the_rule_for_b(at)
        await at.services["evaluate"].kill()
        await at.call("POST", f"{SHADOW}/promote")
        await at.services["api"].kill()
        await asyncio.gather(at.services["evaluate"].start(), at.services["api"].start())
        assert (await at.call("GET", "/rules/slow"))["threshold"] == 2000

        async def firing(*hosts: str) -> bool:
            await at.measure(1_500, "b")
            found = (await at.call("GET", "/alerts/active?rule_id=slow"))["items"]
            return [alert["labels"]["host"] for alert in found] == [*hosts]

        # The alert of b is over under the new threshold, that of a goes on as it was.
        await eventually(lambda: firing("a"), 40, "the new threshold is in force", poll_s=0.2)
        history = (await at.call("GET", "/alerts/history?rule_id=slow&label.host=a"))["items"]
        assert [event["type"] for event in history] == ["firing"]


async def begin(at: World) -> None:
    """A rule, and a candidate that asks for more."""
    await at.call("POST", "/channels", {"id": "terminal", "type": "console"}, 201)
    await at.call("POST", "/rules", RULE, 201)
    await at.call("PUT", SHADOW, {"rule": CANDIDATE, "for": "1h"}, 201)


async def both_fire_for_a_and_the_rule_for_b(at: World) -> None:
    """Until the report says so; the first samples may come before the candidate is in force."""

    async def compared(wanted: tuple[int, int, int], value: float, *hosts: str) -> bool:
        await at.measure(value, *hosts)
        return await at.totals() == wanted

    await eventually(lambda: compared((1, 0, 0), 3_000, "a"), 40, "both fire", poll_s=0.2)
    await eventually(lambda: compared((1, 1, 0), 1_500, "b"), 40, "only the rule fires", poll_s=0.2)
