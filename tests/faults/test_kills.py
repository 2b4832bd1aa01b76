"""kill -9 of one service after another, under load: nothing is lost, and nothing that was said is said otherwise.

TOCSIN_TEST_KILLS is how often each service is killed (2 unless set; CI sets 10).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer

from tocsin.deliver.credentials import seal_config
from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.kafka.ports import free_ports
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import decode, encode_document
from tocsin.schemas.labels import stable_id
from tocsin.schemas.rule import Rule
from tocsin.schemas.topics import Topics, metric_topic_specs, topic_specs
from tocsin.testing import collect, create_topics, eventually, pause
from tocsin.testing.receivers import WebReceiver
from tocsin.testing.services import ServiceProcess
from tocsin.vault import load_or_create_key

KILLS = int(os.environ.get("TOCSIN_TEST_KILLS", "2"))
SERVICES = ("evaluate", "route", "deliver", "api")
PARTITIONS = 2
TOKEN = "the-token-of-this-test"
SERIES = 40
STEP_MS = 100
WALL_S = 0.02  # between two steps: event time runs five times as fast as the wall clock
PERIOD = 60  # steps of one wave of a series, whose upper half is over the threshold
QUIET_S = 8.0  # windows of series that fell silent close 5 s later

RULES = [
    Rule.model_validate(body | {"metric_type": "load", "notifications": ["hook"]})
    for body in (
        {"id": "now", "threshold": 50},
        {"id": "held", "threshold": 50, "duration": "1s", "cooldown": "8s"},
        {
            "id": "mean",
            "threshold": 60,
            "recovery_threshold": 40,
            "window": {"type": "hopping", "size": "2s", "step": "500ms"},
        },
    )
]


def value(series: int, step: int) -> float:
    """A wave for each series, none in step with another, so that transitions come all the time."""
    return float((step + series * 7) % PERIOD * 100 / PERIOD)


@dataclass
class World:
    """One set of topics, the services on it, and the receiver that its channel leads to."""

    kafka: str
    topics: Topics
    metrics: str
    services: dict[str, ServiceProcess]
    receiver: WebReceiver
    producer: AIOKafkaProducer
    session: aiohttp.ClientSession
    base_ms: int
    steps: int = 0
    events: list[AlertEvent] = field(default_factory=list)

    async def play(self, until: asyncio.Event, at_least: int) -> None:
        """Send step after step, until told to stop and `at_least` steps have been sent."""
        while not until.is_set() or self.steps < at_least:
            at_ms = self.base_ms + self.steps * STEP_MS
            for series in range(SERIES):
                sample = {
                    "name": "load", "value": value(series, self.steps), "timestamp": at_ms,
                    "labels": {"series": str(series)},
                }  # fmt: skip
                await self.producer.send(self.metrics, json.dumps(sample).encode(), key=str(series).encode())
            self.steps += 1
            await pause(WALL_S)
        await self.producer.flush()

    async def write_rules(self, until: asyncio.Event) -> set[str]:
        """Write one disabled rule after the other through the API; returns those that it said it took."""
        taken: set[str] = set()
        number = 0
        while not until.is_set():
            number += 1
            rule = {"id": f"written-{number}", "metric_type": "none", "threshold": 1, "enabled": False}
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self.session.post("/api/v1/rules", json=rule, timeout=aiohttp.ClientTimeout(2)) as answer:
                    if answer.ok:
                        taken.add(str(rule["id"]))
            await pause(WALL_S)
        return taken

    async def known_rules(self) -> set[str]:
        """Every rule that the API shows."""
        known: set[str] = set()
        cursor = ""
        while True:
            async with self.session.get(f"/api/v1/rules?limit=500{cursor}") as answer:
                body = await answer.json()
            known |= {rule["id"] for rule in body["items"]}
            if body["next_cursor"] is None:
                return known
            cursor = f"&cursor={body['next_cursor']}"

    async def settled(self) -> list[AlertEvent]:
        """All events, once none has come for a while."""
        seen, since = -1, time.monotonic()

        async def quiet() -> bool:
            nonlocal seen, since
            records = await collect(self.kafka, self.topics.alerts)
            if len(records) != seen:
                seen, since = len(records), time.monotonic()
                self.events = [decode(AlertEvent, record.value) for record in records]
            return time.monotonic() - since > QUIET_S

        await eventually(quiet, 120, "alerts settle", poll_s=0.5)
        return self.events


@asynccontextmanager
async def world(kafka: str, directory: Path, prefix: str, base_ms: int) -> AsyncIterator[World]:
    topics, metrics, (port,) = Topics(prefix), f"{prefix}metrics", free_ports(1)
    specs = [*topic_specs(prefix, PARTITIONS), *metric_topic_specs((metrics,), PARTITIONS)]
    await create_topics(kafka, specs)
    environment = {
        "TOCSIN_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TOCSIN_KAFKA_TOPIC_PREFIX": prefix,
        "TOCSIN_METRICS_TOPICS": metrics,
        "TOCSIN_DATA_DIR": str(directory),
        "TOCSIN_DELIVERY__ALLOW_NETWORKS": "127.0.0.0/8",
        "TOCSIN_EVALUATE__CHECKPOINT_INTERVAL": "2s",
        "TOCSIN_API_PORT": str(port),
        "TOCSIN_API_TOKEN": TOKEN,
        "TOCSIN_LOG_FORMAT": "json",
    }
    directory.mkdir(mode=0o700)  # noqa: ASYNC240 - one directory, before anything runs
    services = {name: ServiceProcess(name, environment, directory) for name in SERVICES}
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(WebReceiver().listening())
        producer = AIOKafkaProducer(**producer_arguments(KafkaConnection(kafka)))
        await stack.enter_async_context(started(producer, kafka))
        for rule in RULES:
            await producer.send_and_wait(topics.rules, encode_document(rule), key=rule.id.encode())
        hook = seal_config(
            Channel(id="hook", type="webhook", config={"url": receiver.url}), load_or_create_key(directory, None)
        )
        await producer.send_and_wait(topics.channels, encode_document(hook), key=b"hook")
        for service in services.values():
            stack.push_async_callback(service.kill)
        await asyncio.gather(*(service.start() for service in services.values()))
        session = aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {TOKEN}"})
        await stack.enter_async_context(session)
        yield World(kafka, topics, metrics, services, receiver, producer, session, base_ms)


def said(events: list[AlertEvent]) -> set[tuple[str, str, str, str]]:
    return {(event.id, event.type, event.starts_at, event.updated_at) for event in events}


def wanted_notifications(events: list[AlertEvent]) -> set[str]:
    return {stable_id("notification", one.id, "hook") for one in events if one.type in ("firing", "resolved")}


@pytest.mark.parametrize("victim", SERVICES)
async def test_kill_under_load_loses_nothing_and_invents_nothing(
    kafka: str, tmp_path: Path, topic_prefix: str, victim: str
) -> None:
    base_ms = int(time.time() * 1_000) - 600_000
    chance = random.Random(victim)
    done = asyncio.Event()
    async with world(kafka, tmp_path / "killed", topic_prefix, base_ms) as killed:
        playing = asyncio.create_task(killed.play(done, at_least=0))
        writing = asyncio.create_task(killed.write_rules(done))
        for _ in range(KILLS):
            await pause(chance.uniform(0.5, 4.0))
            await killed.services[victim].kill()
            await killed.services[victim].start()
        done.set()
        await playing
        taken = await writing
        after = await killed.settled()
        assert taken, "the API took no rule at all"
        assert taken <= await killed.known_rules()
        wanted = wanted_notifications(after)
        await eventually(lambda: wanted <= set(killed.receiver.ids), 60, "every notification arrives")
        arrived = Counter(killed.receiver.ids)
        steps = killed.steps
    done.set()
    async with world(kafka, tmp_path / "calm", f"calm-{topic_prefix}", base_ms) as calm:
        await calm.play(done, at_least=steps)
        undisturbed = await calm.settled()
    assert killed.services[victim].starts == KILLS + 1
    assert len(undisturbed) > 10
    assert said(after) == said(undisturbed)
    assert set(arrived) == wanted, "the receiver got what no event asks for"
    repeats = sum(arrived.values()) - len(arrived)
    print(  # noqa: T201 - with -s, for the record
        f"{victim}: {KILLS} kills, {len(said(after))} events, {len(after) - len(said(after))} repeated on the topic, "
          f"{len(wanted)} notifications, {repeats} repeated")  # fmt: skip
