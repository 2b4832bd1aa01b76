"""A storm: many series step over a threshold within seconds, and a few of their alerts are critical."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tocsin.agents.background import ended
from tocsin.agents.clock import clock_ms
from tocsin.bench.receiver import receiving
from tocsin.bench.scenario import PARTITIONS, Bench, Scenario, Usage
from tocsin.kafka.clients import consumer_arguments, started
from tocsin.schemas.codec import encode_document
from tocsin.schemas.route import Routing
from tocsin.schemas.rule import Rule

_CRITICAL_EVERY: Final = 1_000
_SERVICES: Final = ("evaluate", "route", "deliver")
_TICK_S: Final = 0.1
_MADE_PER_S: Final = 25_000  # messages, before any is sent: a quarter of what this takes
_DEADLINE_S: Final = 120.0
_POLL_S: Final = 0.05
_SAID: Final = b'"rule_id":"storm_'
_RULES: Final = [
    Rule.model_validate({"id": f"storm_{name}", "metric_type": f"storm_{name}", "threshold": 10, "severity": name})
    for name in ("warning", "critical")
]
_ROUTING: Final = Routing.model_validate(
    {
        "route": {
            "channels": ["hook"],
            "group_by": ["alertname"],
            "group_wait": "5s",
            "group_interval": "5s",
            "routes": [{"match": {"severity": "critical"}, "group_by": ["..."], "group_wait": "0s"}],
        }
    }
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds from the first sample of the storm until every alert lay on `alerts`, and until a notification spoke of
    all of its group; from the sample of each critical alert to its notification, rising. How many alerts never came,
    or, if critical, were never told; and what each service used."""

    alerts_s: float
    told_s: float
    critical_s: list[float]
    lost: int
    used: dict[str, Usage]


@dataclass(slots=True)
class _Arrivals:
    """When alerts came (by key), critical ones were told (by host), and how many a notification spoke of; seconds of
    the monotonic clock."""

    alerts: dict[bytes, float] = field(default_factory=dict)
    critical: dict[str, float] = field(default_factory=dict)
    spoken: list[tuple[float, int]] = field(default_factory=list)

    async def received(self, request: web.Request) -> web.Response:
        """The webhook receiver."""
        data, now_s = orjson.loads(await request.read())["data"], time.monotonic()
        if data["severity"] == "critical":
            self.critical.setdefault(data["labels"]["host"], now_s)
        else:
            self.spoken.append((now_s, len(data["group"]["alerts"]) + data["group"]["truncated"]))
        return web.Response(text="ok")

    async def follow(self, consumer: AIOKafkaConsumer) -> None:
        """Read alerts as they come."""
        while True:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                now_s = time.monotonic()
                for record in records:
                    if _SAID in record.value:
                        self.alerts.setdefault(record.key, now_s)


async def measure(bench: Bench, series: int, lasts_s: float) -> Figures:
    """All series at rest, then each of them over the threshold within `lasts_s`, one in a thousand critical."""
    arrivals = _Arrivals()
    async with bench.scenario(_RULES) as scenario, receiving(arrivals.received) as url:
        await scenario.add_webhook(url)
        await scenario.producer.send_and_wait(scenario.topics.routes, encode_document(_ROUTING), key=b"routing")
        await scenario.start(*_SERVICES)
        arguments = {**consumer_arguments(scenario.connection), "fetch_max_wait_ms": 20}
        consumer = AIOKafkaConsumer(scenario.topics.alerts, **arguments)
        async with started(consumer, scenario.connection.bootstrap_servers):
            following = asyncio.create_task(arrivals.follow(consumer))
            await _send(scenario, series, 0, 0.0)
            await scenario.judged()
            before = {name: scenario.usage(name) for name in _SERVICES}
            began_s = await _send(scenario, series, 20, lasts_s)
            await _over(arrivals, series)
            used = {name: scenario.usage(name).since(before[name]) for name in _SERVICES}
            await ended(following)
    return _figures(arrivals, series, (began_s, lasts_s), used)


async def _over(arrivals: _Arrivals, series: int) -> None:
    critical = len(range(0, series, _CRITICAL_EVERY))
    deadline_s = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline_s:
        most = max((count for _, count in arrivals.spoken), default=0)
        if len(arrivals.alerts) >= series and len(arrivals.critical) >= critical and most >= series - critical:
            return
        await asyncio.sleep(_POLL_S)


def _figures(arrivals: _Arrivals, series: int, sent: tuple[float, float], used: dict[str, Usage]) -> Figures:
    began_s, lasts_s = sent
    sent_s = {_host(number): began_s + lasts_s * number / series for number in range(0, series, _CRITICAL_EVERY)}
    told_s = [at_s for at_s, count in arrivals.spoken if count >= series - len(sent_s)]
    return Figures(
        alerts_s=max(arrivals.alerts.values(), default=float("nan")) - began_s,
        told_s=min(told_s, default=float("nan")) - began_s,
        critical_s=sorted(at_s - sent_s[host] for host, at_s in arrivals.critical.items()),
        lost=series - len(arrivals.alerts) + len(sent_s) - len(arrivals.critical),
        used=used,
    )


async def _send(scenario: Scenario, series: int, value: int, seconds: float) -> float:
    """One sample of every series, evenly; returns when the first one was sent. All is made before it is sent: what that
    costs is not what is measured."""
    ticks = max(1, round(seconds / _TICK_S))
    begin_ms = clock_ms() + (1_000 + series * 1_000 // _MADE_PER_S if seconds else 0)
    batches = []
    for tick in range(ticks):
        numbers = range(series * tick // ticks, series * (tick + 1) // ticks)
        batches.append(list(_batches(scenario.producer, numbers, value, begin_ms + round(tick * _TICK_S * 1_000))))
    await asyncio.sleep(max(0.0, begin_ms / 1_000 - time.time()))
    began_s, sent = time.monotonic(), []
    for tick, made in enumerate(batches):
        await asyncio.sleep(max(0.0, began_s + tick * _TICK_S - time.monotonic()))
        sent += [await scenario.producer.send_batch(one, scenario.metrics, partition=to) for to, one in made]
    await asyncio.gather(*sent)
    return began_s


def _batches(producer: AIOKafkaProducer, numbers: range, value: int, at_ms: int) -> Iterator[tuple[int, Any]]:
    """Batches of messages, and the partition of each."""
    for partition in range(PARTITIONS):
        batch = producer.create_batch()
        for number in numbers:
            if number % PARTITIONS != partition:
                continue
            severity = "warning" if number % _CRITICAL_EVERY else "critical"
            text = b'{"name":"storm_%s","value":%d,"timestamp":%d,"labels":{"host":"%s"}}' % (
                severity.encode(), value, at_ms, _host(number).encode(),
            )  # fmt: skip
            if batch.append(key=b"%d" % number, value=text, timestamp=None) is None:
                yield partition, batch
                batch = producer.create_batch()
                batch.append(key=b"%d" % number, value=text, timestamp=None)
        yield partition, batch


def _host(number: int) -> str:
    return f"host-{number:06d}"
