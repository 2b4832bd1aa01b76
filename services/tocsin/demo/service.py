"""The demo: sets up its rules and a console channel, and sends metrics until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import time
from importlib.resources import files
from typing import Any

import aiohttp
import orjson
import structlog
from aiokafka import AIOKafkaProducer

from tocsin import documents
from tocsin.context import Context
from tocsin.demo.shape import Sample, samples_at
from tocsin.kafka.clients import producer_arguments, started
from tocsin.readiness import announce_ready

_EVERY_S = 1.0
_SEED = 7
_TIMEOUT = aiohttp.ClientTimeout(total=30)
_SEND_TIMEOUT_S = 30.0
log = structlog.get_logger("tocsin.demo")


class DemoError(Exception):
    """The demo cannot be set up; one line."""


class DemoUnreachable(DemoError):
    """No API answers at the address; one line."""


async def run(context: Context, url: str, token: str | None) -> None:
    """Set up and send until SIGTERM or SIGINT. Raises DemoError, DemoUnreachable and KafkaUnreachable."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await _set_up(url, token)
    except (aiohttp.ClientError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        raise DemoUnreachable(f"the API at {url} cannot be reached ({reason}): start it with `tocsin up`") from None
    topic = context.settings.metrics.topic_names[0]
    producer = AIOKafkaProducer(**producer_arguments(context.connection, linger_ms=5))
    async with started(producer, context.connection.bootstrap_servers):
        began = time.time()
        announce_ready()
        log.info("sending metrics; the first incident begins in about 15 s", topic=topic)
        while not stop.is_set():
            now = time.time()
            await asyncio.wait_for(_send(producer, topic, now, now - began), _SEND_TIMEOUT_S)
            try:
                await asyncio.wait_for(stop.wait(), max(0.0, now + _EVERY_S - time.time()))
            except TimeoutError:
                continue


async def _send(producer: AIOKafkaProducer, topic: str, now: float, elapsed_s: float) -> None:
    at_ms = int(now * 1_000)
    sent = [
        await producer.send(topic, _encoded(sample, at_ms), key=_key(sample))
        for sample in samples_at(now, elapsed_s, _SEED)
    ]
    await asyncio.gather(*sent)


def _encoded(sample: Sample, at_ms: int) -> bytes:
    body: dict[str, Any] = {"name": sample.name, "value": sample.value, "timestamp": at_ms, "labels": sample.labels}
    return orjson.dumps(body | ({"unit": sample.unit} if sample.unit else {}))


def _key(sample: Sample) -> bytes:
    return "/".join((sample.name, *sample.labels.values())).encode()


def wanted() -> dict[str, list[dict[str, Any]]]:
    """The demo's rules and channels, as the API takes them."""
    content = files("tocsin.demo").joinpath("rules.yaml").read_bytes()
    found: dict[str, list[dict[str, Any]]] = documents.parse(content, "the demo's rules").value
    return found


async def _set_up(url: str, token: str | None) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as session:
        for kind, entries in sorted(wanted().items()):
            for entry in entries:
                address = f"{url}/api/v1/{kind}/{entry['id']}"
                # What the user changed since the first start of the demo stays as it is.
                async with session.put(address, json=entry, headers={"If-None-Match": "*"}) as answer:
                    if answer.status not in (200, 201, 412):
                        text = (await answer.text())[:300]
                        raise DemoError(f"the API at {url} refused the demo's {entry['id']}: {answer.status} {text}")
