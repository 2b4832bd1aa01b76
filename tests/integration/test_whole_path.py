"""From a metric to every channel, with real services: the rule of the seed form and the seed's four channels."""

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
import pytest
from aiokafka import AIOKafkaProducer

from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.schemas.topics import Topics, metric_topic_specs, topic_specs
from tocsin.testing import collect, create_topics, eventually, own_port
from tocsin.testing.receivers import MailReceiver, WebReceiver
from tocsin.testing.services import ServiceProcess

PARTITIONS = 4
TOKEN = "the-token-of-this-test"
SEED_RULE = {
    "id": "high_response_time", "name": "High Response Time Alert",
    "description": "Alert when response time exceeds threshold", "severity": "warning", "category": "performance",
    "enabled": True, "metric_type": "response_time", "condition": "threshold", "duration": "5m", "threshold": 1000.0,
    "operator": "gt", "notifications": ["email", "slack"],
}  # fmt: skip


@dataclass
class World:
    kafka: str
    topics: Topics
    metrics: str
    session: aiohttp.ClientSession
    services: dict[str, ServiceProcess]
    environment: dict[str, str]
    mail: MailReceiver
    slack: WebReceiver
    hook: WebReceiver

    async def call(self, method: str, path: str, body: Any = None, wanted: int = 200) -> Any:
        async with self.session.request(method, f"/api/v1{path}", json=body) as answer:
            found = await answer.json(content_type=None) if answer.content_length else None
            assert answer.status == wanted, f"{method} {path}: {answer.status} {found}"
            return found

    async def types(self, fingerprint: str = "") -> list[str]:
        records = await collect(self.kafka, self.topics.alerts)
        events = [json.loads(record.value) for record in records]
        return [event["type"] for event in events if fingerprint in ("", event["fingerprint"])]


@asynccontextmanager
async def world(kafka: str, directory: Path, prefix: str) -> AsyncIterator[World]:
    topics, metrics, port = Topics(prefix), f"{prefix}metrics", own_port()
    await create_topics(kafka, [*topic_specs(prefix, PARTITIONS), *metric_topic_specs((metrics,), PARTITIONS)])
    environment = {
        "TOCSIN_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TOCSIN_KAFKA_TOPIC_PREFIX": prefix,
        "TOCSIN_METRICS_TOPICS": metrics,
        "TOCSIN_DATA_DIR": str(directory),
        "TOCSIN_DELIVERY__ALLOW_NETWORKS": "127.0.0.0/8",
        "TOCSIN_API_PORT": str(port),
        "TOCSIN_API_TOKEN": TOKEN,
        "TOCSIN_LOG_FORMAT": "console",
    }
    names = ("evaluate", "route", "deliver", "api")
    services = {name: ServiceProcess(name, environment, directory) for name in names}
    async with AsyncExitStack() as stack:
        mail = await stack.enter_async_context(MailReceiver(password="a-password").listening())
        slack = await stack.enter_async_context(WebReceiver().listening())
        hook = await stack.enter_async_context(WebReceiver().listening())
        headers = {"Authorization": f"Bearer {TOKEN}"}
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers))
        for service in services.values():
            stack.push_async_callback(service.kill)
        await asyncio.gather(*(service.start() for service in services.values()))
        yield World(kafka, topics, metrics, session, services, environment, mail, slack, hook)
        assert [await service.stop() for service in services.values()] == [0, 0, 0, 0]


async def add_seed_channels(at: World) -> None:
    channels: list[dict[str, Any]] = [
        {"id": "ops-mail", "type": "email", "config": {
            "smtp_host": "127.0.0.1", "smtp_port": at.mail.port, "username": "alerts", "password": "a-password",
            "from_address": "tocsin@example.test", "to_addresses": ["ops@example.test"], "subject": "[tocsin]",
            "enabled": True}},
        {"id": "ops-slack", "type": "slack", "config": {
            "webhook_url": at.slack.url, "channel": "#alerts", "username": "tocsin", "icon_emoji": ":bell:",
            "enabled": True}},
        {"id": "hook", "type": "webhook", "config": {
            "url": at.hook.url, "method": "POST", "headers": {"X-Team": "ops"},
            "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "timeout": "5s", "enabled": True}},
        {"id": "terminal", "type": "console", "config": {"enabled": True}},
    ]  # fmt: skip
    for channel in channels:
        created = await at.call("POST", "/channels", channel, 201)
        assert "a-password" not in json.dumps(created)


def metric(value: float, at_ms: int, **labels: str) -> bytes:
    return json.dumps({"name": "response_time", "value": value, "timestamp": at_ms, "labels": labels}).encode()


def slow_for(now_ms: int, seconds: int, **labels: str) -> list[bytes]:
    """Too slow for a while, then well again."""
    slow = [metric(1_500, now_ms - (seconds - at) * 1_000, **labels) for at in range(0, seconds, 10)]
    return [*slow, metric(120, now_ms, **labels)]


@pytest.mark.parametrize("way", ["tocsin produce", "unkeyed producer"])
async def test_a_metric_reaches_the_topic_the_api_and_every_channel_once(
    kafka: str, tmp_path: Path, topic_prefix: str, way: str
) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        await add_seed_channels(at)
        await at.call("POST", "/rules", SEED_RULE, 201)
        everyone = ["email", "slack", "hook", "console"]
        await at.call("PATCH", "/rules/high_response_time", {"notifications": everyone})
        now_ms = time.time_ns() // 1_000_000
        if way == "tocsin produce":
            await produced(at, tmp_path, slow_for(now_ms, 320, service="api", host="a1"))
        else:
            await spread(at, slow_for(now_ms, 320, service="api", host="a1"))
        await eventually(lambda: settled(at), 40, "one firing and one resolved everywhere")
        assert await at.types() == ["pending", "firing", "resolved"]
        history = (await at.call("GET", "/alerts/history?sort=updated_at"))["items"]
        assert [event["type"] for event in history] == ["pending", "firing", "resolved"]
        assert (await at.call("GET", "/alerts/active"))["total"] == 0
        detail = await at.call("GET", f"/alerts/{history[0]['fingerprint']}")
        assert len([one for one in detail["deliveries"] if one["outcome"] == "delivered"]) == 8
        assert detail["alert"]["labels"] == {"service": "api", "host": "a1"}
        assert "High Response Time Alert" in at.services["deliver"].tail()
        figures = await at.call("GET", "/statistics")
        assert figures["events"]["by_type"] == {"firing": 1, "pending": 1, "resolved": 1}
        assert figures["deliveries"]["success_rate"] == 1.0
        async with at.session.get("/readyz") as ready:
            assert ready.status == 200, await ready.text()


async def settled(at: World) -> bool:
    """Firing and resolved have arrived at the three receivers, and the topic has them."""
    counts = len(at.mail.mails), len(at.slack.requests), len(at.hook.requests)
    assert counts == (2, 2, 2), f"mails, slack, webhook: {counts}; {at.services['evaluate'].tail()}"
    return (await at.types())[-1:] == ["resolved"]


async def produced(at: World, directory: Path, lines: list[bytes]) -> None:
    """Through the command line, as a user would."""
    process = ServiceProcess("produce", at.environment, directory)
    code = await process.run("-", given=b"\n".join(lines))
    assert code == 0, process.tail()


async def spread(at: World, values: list[bytes]) -> None:
    """By a plain producer that spreads one series over all partitions."""
    async with started(AIOKafkaProducer(**producer_arguments(KafkaConnection(at.kafka))), at.kafka) as producer:
        for number, value in enumerate(values):
            await producer.send_and_wait(at.metrics, value, partition=number % PARTITIONS)


async def test_people_act_on_alerts(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        await at.call("POST", "/rules", {**SEED_RULE, "duration": "0s", "notifications": []}, 201)
        raised = await at.call("POST", "/alerts/trigger", {"rule_id": "high_response_time", "value": 7}, 201)
        assert raised["rule_name"] == "High Response Time Alert"
        path = f"/alerts/{raised['fingerprint']}"
        acknowledged = await at.call("POST", f"{path}/acknowledge", {"comment": "on it"})
        assert acknowledged["status"] == "acknowledged"
        assert acknowledged["acknowledged"]["comment"] == "on it"
        assert (await at.call("GET", "/alerts/active?status=acknowledged"))["total"] == 1
        again = await at.call("POST", f"{path}/acknowledge", {})
        assert again["id"] == acknowledged["id"]
        assert (await at.call("POST", f"{path}/unacknowledge", {}))["status"] == "firing"
        assert (await at.call("POST", f"{path}/resolve", {}))["status"] == "resolved"
        await at.call("POST", f"{path}/acknowledge", {}, 409)
        assert await at.types(raised["fingerprint"]) == ["firing", "acknowledged", "unacknowledged", "resolved"]

        now_ms = time.time_ns() // 1_000_000
        await spread(at, [metric(1_500, now_ms - 1_000, service="db")])
        await eventually(lambda: is_total(at, "/alerts/active?status=firing&label.service=db", 1), 20)
        await at.call("DELETE", "/rules/high_response_time", wanted=204)
        await eventually(lambda: is_total(at, "/alerts/active", 0), 20)
        last = (await at.call("GET", "/alerts/history?limit=1"))["items"][0]
        assert (last["type"], last["reason"]) == ("resolved", "rule deleted")


async def is_total(at: World, path: str, wanted: int) -> bool:
    return bool((await at.call("GET", path))["total"] == wanted)
