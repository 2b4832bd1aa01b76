"""A storm of signals while route is killed: every alert comes to be once, and all of them are told."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from aiokafka import AIOKafkaProducer, ConsumerRecord
from tests.faults.world import READY_S

from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import decode, encode, encode_document
from tocsin.schemas.labels import alert_fingerprint
from tocsin.schemas.notification import Notification
from tocsin.schemas.route import Routing
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Evidence, Signal
from tocsin.schemas.topics import Topics, topic_specs
from tocsin.testing import collect, create_topics, pause
from tocsin.testing.services import ServiceProcess

ALERTS = 6_000
CRITICAL_EVERY = 100
PARTITIONS = 2
KILLS = 4
AT_MS = 1_796_000_000_000
RULES = [
    Rule.model_validate({"id": name, "metric_type": "load", "threshold": 1, "severity": name})
    for name in ("warning", "critical")
]
ROUTING = Routing.model_validate(
    {
        "route": {
            "channels": ["hook"],
            "group_by": ["alertname"],
            "group_wait": "1s",
            "group_interval": "2s",
            "routes": [{"match": {"severity": "critical"}, "group_by": ["..."], "group_wait": "0s"}],
        }
    }
)


def firing(number: int) -> Signal:
    rule = "warning" if number % CRITICAL_EVERY else "critical"
    labels = {"host": f"host-{number}"}
    return Signal(
        fingerprint=alert_fingerprint(rule, labels),
        kind="firing",
        rule_id=rule,
        revision=0 if rule == "warning" else 1,
        order=(0, AT_MS, 0),
        since_ms=AT_MS,
        at_ms=AT_MS,
        labels=labels,
        value=2.0,
        evidence=Evidence("load", (AT_MS, AT_MS), 1),
    )


def ids_by_alert(records: Sequence[ConsumerRecord]) -> dict[str, set[str]]:
    found = defaultdict[str, set[str]](set)
    for record in records:
        event = decode(AlertEvent, record.value)
        found[event.fingerprint].add(event.id)
    return found


async def test_a_storm_survives_kills_of_route_with_every_alert_once_and_all_of_them_told(
    kafka: str, tmp_path: Path, topic_prefix: str
) -> None:
    topics, chance = Topics(topic_prefix), random.Random(1)
    await create_topics(kafka, topic_specs(topic_prefix, PARTITIONS))
    environment = {
        "TOCSIN_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TOCSIN_KAFKA_TOPIC_PREFIX": topic_prefix,
        "TOCSIN_DATA_DIR": str(tmp_path),
        "TOCSIN_LOG_LEVEL": "warning",
    }
    route = ServiceProcess("route", environment, tmp_path)
    async with started(AIOKafkaProducer(**producer_arguments(KafkaConnection(kafka))), kafka) as producer:
        for rule in RULES:
            await producer.send_and_wait(topics.rules, encode_document(rule), key=rule.id.encode())
        hook = encode_document(Channel(id="hook", type="webhook"))
        await producer.send_and_wait(topics.channels, hook, key=b"hook")
        await producer.send_and_wait(topics.routes, encode_document(ROUTING), key=ROUTING.id.encode())
        for signal in map(firing, range(ALERTS)):
            await producer.send(topics.signals, encode(signal), key=signal.fingerprint.encode())
        await producer.flush()
    try:
        await route.start(ready_s=READY_S)
        for _ in range(KILLS):
            await pause(chance.uniform(0.1, 1.5))
            await route.kill()
            await route.start(ready_s=READY_S)
        await _all_is_told(kafka, topics)
    finally:
        await route.kill()
    ids = ids_by_alert(await collect(kafka, topics.alerts))
    assert len(ids) == ALERTS
    assert {len(of_one) for of_one in ids.values()} == {1}, "an alert was said in two ways"


async def _all_is_told(kafka: str, topics: Topics) -> None:
    critical = len(range(0, ALERTS, CRITICAL_EVERY))

    def is_told(records: list[ConsumerRecord]) -> bool:
        told = [decode(Notification, record.value) for record in records]
        grouped = [one.group for one in told if one.group and one.event.severity == "warning"]
        most = max((len(group.alerts) + group.truncated for group in grouped), default=0)
        urgent = {one.id: one.event.fingerprint for one in told if one.event.severity == "critical"}
        assert len(urgent) == len(set(urgent.values())), "a critical alert was told under two ids"
        assert most <= ALERTS - critical
        return most == ALERTS - critical and len(urgent) == critical

    await collect(kafka, topics.notifications("webhook"), until=is_told, deadline_s=120.0)
