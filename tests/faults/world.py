"""tocsin's services on topics of their own, a load with transitions all the time, and what came of it."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
from aiokafka import AIOKafkaProducer, ConsumerRecord

from tocsin.deliver.credentials import seal_config
from tocsin.engine import pipeline
from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import decode, encode, encode_document
from tocsin.schemas.escalation import EscalationPolicy
from tocsin.schemas.labels import stable_id
from tocsin.schemas.notification import Delivery
from tocsin.schemas.rule import Rule
from tocsin.schemas.topics import Topics, metric_topic_specs, topic_specs
from tocsin.testing import collect, create_topics, eventually, own_port, pause
from tocsin.testing.receivers import WebReceiver
from tocsin.testing.services import ServiceProcess
from tocsin.vault import load_or_create_key

SERVICES = ("evaluate", "route", "deliver", "api")
TOKEN = "the-token-of-this-test"
KEY = base64.b64encode(bytes(range(32))).decode()
SERIES = 40
STEP_MS = 100
PERIOD = 60  # steps of one wave of a series, whose upper half is over the threshold
READY_S = 600.0  # many processes may start at once on two busy cores
QUIET_S = 8.0  # windows of series that fell silent close 5 s later
SURPLUS_S = 3.0  # once all has come that should
SETTLED_S = 400.0
AFTER_MS = 30_000  # more than the time after which any rule calls a series silent

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
        {"id": "shelf", "group_by": ["shelf"], "aggregation": "max", "threshold": 80, "window": {"size": "1s"}},
    )
]


def value(series: int, step: int) -> float:
    """A wave for each series, none in step with another, so that transitions come all the time."""
    return float((step + series * 7) % PERIOD * 100 / PERIOD)


@dataclass(frozen=True)
class Shape:
    """How many partitions, and which processes: several of one service are `evaluate`, `evaluate-2`, ...

    Those that are `later` are not started.
    """

    partitions: int = 2
    processes: Sequence[str] = SERVICES
    later: Sequence[str] = ()
    rules: Sequence[Rule] = tuple(RULES)
    policies: Sequence[EscalationPolicy] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


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
    shape: Shape
    steps: int = 0
    events: list[AlertEvent] = field(default_factory=list)

    async def play(self, until: asyncio.Event, at_least: int, wall_s: float = 0.05) -> None:
        """Send step after step, until told to stop and `at_least` steps have been sent; `wall_s` between two."""
        while not until.is_set() or self.steps < at_least:
            for series in range(SERIES):
                labels = {"series": str(series), "shelf": str(series % 8)}
                await self.send("load", value(series, self.steps), self.steps * STEP_MS, labels)
            self.steps += 1
            await pause(wall_s)
        await self.producer.flush()

    async def send(self, name: str, what: float, after_ms: int, labels: Mapping[str, str]) -> None:
        """Queue one sample, so long after the base; its labels are its key."""
        sample = {"name": name, "value": what, "timestamp": self.base_ms + after_ms, "labels": labels}
        key = json.dumps(labels).encode()
        await self.producer.send(self.metrics, json.dumps(sample).encode(), key=key)

    async def write_rules(self, until: asyncio.Event, wall_s: float = 0.05) -> set[str]:
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
            await pause(wall_s)
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

    async def undisturbed(self) -> list[AlertEvent]:
        """What the engine alone says of what was sent, in one process and in memory, when nothing more comes."""
        records = await collect(self.kafka, self.metrics, deadline_s=60)
        engine = pipeline.Pipeline(self.shape.rules, (), pipeline.Shape(self.shape.partitions, self.shape.partitions))
        for record in records:
            engine.publish(record.value, record.timestamp, record.key, record.partition)
        await asyncio.to_thread(engine.run, max(record.timestamp for record in records) + AFTER_MS)
        return engine.events

    async def settled(self, expected: Sequence[AlertEvent] = ()) -> list[AlertEvent]:
        """All events, once those that are expected have come, or time is up, and none has for a while."""
        self.events, missing = [], said(expected)
        quiet_s = SURPLUS_S if expected else QUIET_S
        since, deadline = time.monotonic(), time.monotonic() + SETTLED_S

        def is_settled(records: Sequence[ConsumerRecord]) -> bool:
            nonlocal since
            now = time.monotonic()
            if fresh := [decode(AlertEvent, record.value) for record in records[len(self.events) :]]:
                since = now
                self.events += fresh
                missing.difference_update(said(fresh))
            return now > deadline or (not missing and now - since > quiet_s)

        await collect(self.kafka, self.topics.alerts, until=is_settled, deadline_s=2 * SETTLED_S)
        return self.events

    async def told(self) -> Counter[str]:
        """How often each notification arrived, once all that the events ask for did; no other may, and none that was
        written down as delivered may arrive again."""
        wanted = wanted_notifications(self.events)
        await eventually(lambda: wanted <= set(self.receiver.ids), 300, "every notification arrives", poll_s=0.2)

        async def noted() -> Counter[str]:
            records = await collect(self.kafka, self.topics.deliveries)
            found = [decode(Delivery, record.value) for record in records]
            counts = Counter(one.notification_id for one in found if one.outcome == "delivered")
            assert set(counts) == wanted
            return counts

        again = {identity for identity, count in (await eventually(noted, 60, poll_s=0.5)).items() if count > 1}
        assert not again, "what was written down as delivered was sent again"
        arrived = Counter(self.receiver.ids)
        assert set(arrived) == wanted, "the receiver got what no event asks for"
        return arrived


@asynccontextmanager
async def world(kafka: str, directory: Path, prefix: str, base_ms: int, shape: Shape = Shape()) -> AsyncIterator[World]:
    topics, metrics, port = Topics(prefix), f"{prefix}metrics", own_port()
    specs = [*topic_specs(prefix, shape.partitions), *metric_topic_specs((metrics,), shape.partitions)]
    await create_topics(kafka, specs)
    environment = {
        "TOCSIN_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TOCSIN_KAFKA_TOPIC_PREFIX": prefix,
        "TOCSIN_METRICS_TOPICS": metrics,
        "TOCSIN_DELIVERY__ALLOW_NETWORKS": "127.0.0.0/8",
        "TOCSIN_EVALUATE__CHECKPOINT_INTERVAL": "2s",
        "TOCSIN_API_PORT": str(port),
        "TOCSIN_API_TOKEN": TOKEN,
        "TOCSIN_SECRET_KEY": KEY,
        "TOCSIN_LOG_FORMAT": "json",
        **shape.settings,
    }
    directory.mkdir(mode=0o700)  # noqa: ASYNC240 - one directory, before anything runs
    services = {}
    for name in (*shape.processes, *shape.later):
        own = directory / name
        own.mkdir(mode=0o700)
        services[name] = ServiceProcess(name.partition("-")[0], {**environment, "TOCSIN_DATA_DIR": str(own)}, own)
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(WebReceiver().listening())
        producer = AIOKafkaProducer(**producer_arguments(KafkaConnection(kafka)))
        await stack.enter_async_context(started(producer, kafka))
        for rule in shape.rules:
            await producer.send_and_wait(topics.rules, encode_document(rule), key=rule.id.encode())
        for policy in shape.policies:
            await producer.send_and_wait(topics.escalations, encode_document(policy), key=policy.id.encode())
        vault = load_or_create_key(directory, KEY)
        hook = seal_config(Channel(id="hook", type="webhook", config={"url": receiver.url}), vault)
        await producer.send_and_wait(topics.channels, encode_document(hook), key=b"hook")
        for process in services.values():
            stack.push_async_callback(process.kill)
        await asyncio.gather(*(services[name].start(ready_s=READY_S) for name in shape.processes))
        session = aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {TOKEN}"})
        await stack.enter_async_context(session)
        yield World(kafka, topics, metrics, services, receiver, producer, session, base_ms, shape)


def said(events: Sequence[AlertEvent]) -> set[tuple[str, str, str, str]]:
    """What must be the same in two worlds with the same input."""
    return {(event.id, event.type, event.starts_at, event.updated_at) for event in events}


def words(events: Sequence[AlertEvent]) -> set[bytes]:
    """All that events say, but for the name of the topic that they rest on."""
    return {encode(msgspec.structs.replace(one, evidence={**(one.evidence or {}), "topic": None})) for one in events}


def wanted_notifications(events: Sequence[AlertEvent]) -> set[str]:
    """Which the events ask for."""
    told = ("firing", "escalated", "resolved")
    return {stable_id("notification", one.id, "hook") for one in events if one.type in told}
