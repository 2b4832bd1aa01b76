"""From a metric's send to its alert on the topic and at a webhook, while other metrics keep everything busy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from aiohttp import web
from aiokafka import AIOKafkaConsumer

from tocsin.agents.background import ended
from tocsin.agents.clock import clock_ms
from tocsin.bench.receiver import receiving
from tocsin.bench.scenario import PARTITIONS, Scenario, Usage
from tocsin.kafka.clients import consumer_arguments, started
from tocsin.schemas.codec import encode_document
from tocsin.schemas.rule import Rule

PROBE = Rule.model_validate(
    {"id": "bench_probe", "metric_type": "bench_probe", "threshold": 0, "notifications": ["hook"]}
)
_TICK_S = 0.01
_PROBE_EVERY = 10  # ticks
_WARM_UP_S = 3.0
_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds of each probe, and how many never arrived. Of evaluate the share of a core that it took in percent,
    and by how much it grew."""

    alert_ms: list[float]
    webhook_ms: list[float]
    lost: int
    rate: float
    cpu_percent: float
    grown_mib: float


class _Arrivals:
    """When each probe was sent, and when it arrived where (seconds of the monotonic clock)."""

    def __init__(self) -> None:
        self.sent: dict[str, float] = {}
        self.alert: dict[str, float] = {}
        self.webhook: dict[str, float] = {}

    async def received(self, request: web.Request) -> web.Response:
        """The webhook receiver."""
        event = orjson.loads(await request.read())["data"]
        self.webhook.setdefault(event["labels"]["probe"], time.monotonic())
        return web.Response(text="ok")

    async def follow(self, consumer: AIOKafkaConsumer) -> None:
        """Read alerts as they come."""
        async for record in consumer:
            probe = orjson.loads(record.value)["labels"].get("probe")
            if probe is not None:
                self.alert.setdefault(probe, time.monotonic())


async def measure(scenario: Scenario, rate: int, seconds: float, edits: Sequence[Rule] = ()) -> Latencies:
    """Send `rate` samples a second, and ten probes; a new series each, which fires at once. Meanwhile write `edits`."""
    arrivals = _Arrivals()
    arguments = {**consumer_arguments(scenario.connection), "fetch_max_wait_ms": 20}
    consumer = AIOKafkaConsumer(scenario.topics.alerts, **arguments)
    async with receiving(arrivals.received) as url:
        await scenario.add_webhook(url)
        await scenario.start("evaluate", "route", "deliver")
        async with started(consumer, scenario.connection.bootstrap_servers):
            following = asyncio.create_task(arrivals.follow(consumer))
            before = scenario.usage()
            editing = asyncio.create_task(_edit(scenario, edits, seconds))
            reached = await _send(scenario, arrivals, rate, seconds)
            await editing
            used = scenario.usage().since(before)
            deadline = time.monotonic() + _AFTER_S
            while len(arrivals.webhook) < len(arrivals.sent) and time.monotonic() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(_TICK_S)
            await ended(following)
    return _figures(arrivals, reached, used)


async def _edit(scenario: Scenario, edits: Sequence[Rule], seconds: float) -> None:
    """Write rules, evenly over a time."""
    began = time.monotonic()
    for index, rule in enumerate(edits):
        await asyncio.sleep(max(0.0, began + index * seconds / len(edits) - time.monotonic()))
        await scenario.producer.send(scenario.topics.rules, encode_document(rule), key=rule.id.encode())


def _figures(arrivals: _Arrivals, rate: float, used: Usage) -> Latencies:
    begin = min(arrivals.sent.values()) + _WARM_UP_S
    counted = {probe: at for probe, at in arrivals.sent.items() if at >= begin}
    alert = [(arrivals.alert[probe] - at) * 1e3 for probe, at in counted.items() if probe in arrivals.alert]
    hook = [(arrivals.webhook[probe] - at) * 1e3 for probe, at in counted.items() if probe in arrivals.webhook]
    return Latencies(sorted(alert), sorted(hook), len(counted) - len(hook), rate, used.cpu_percent, used.rss_mib)


async def _send(scenario: Scenario, arrivals: _Arrivals, rate: int, seconds: float) -> float:
    """Evenly, a batch each tick; returns the rate that was reached."""
    producer, topic = scenario.producer, scenario.metrics
    per_tick, began, sent = int(rate * _TICK_S), time.monotonic(), 0
    for tick in range(int(seconds / _TICK_S)):
        now_ms = clock_ms()
        for index in range(per_tick):
            number = (sent + index) % 1_000
            value = b'{"name":"response_time","value":%d,"timestamp":%d,"labels":{"host":"h%d"},"unit":"ms"}' % (
                number, now_ms, number,
            )  # fmt: skip
            await producer.send(topic, value, partition=number % PARTITIONS, key=b"%d" % number)
        sent += per_tick
        if tick % _PROBE_EVERY == 0:
            probe = str(tick)
            body = {"name": "bench_probe", "value": 1, "timestamp": now_ms, "labels": {"probe": probe}}
            arrivals.sent[probe] = time.monotonic()
            await producer.send(topic, orjson.dumps(body), key=probe.encode(), partition=tick // 10 % PARTITIONS)
        await asyncio.sleep(max(0.0, began + (tick + 1) * _TICK_S - time.monotonic()))
    await producer.flush()
    return sent / (time.monotonic() - began)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Nearest rank."""
    if not ordered:
        return float("nan")
    return ordered[max(0, min(len(ordered) - 1, round(len(ordered) * percent / 100 + 0.5) - 1))]
