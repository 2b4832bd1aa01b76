"""Route, deliver and API with two receivers: what tests of routes, of people's acts and of silences have in common."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tocsin.schemas.topics import topic_specs
from tocsin.testing import create_topics, own_port
from tocsin.testing.receivers import WebReceiver
from tocsin.testing.services import ServiceProcess

PARTITIONS = 4
TOKEN = "the-token-of-this-test"
RULE = {"id": "slow", "name": "Slow", "metric_type": "response_time", "threshold": 1.0}


@dataclass
class World:
    session: aiohttp.ClientSession
    services: dict[str, ServiceProcess]
    hook: WebReceiver
    chat: WebReceiver
    directory: Path
    environment: dict[str, str]

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.environment['TOCSIN_API_PORT']}"

    async def command(self, *arguments: str, wanted: int = 0) -> str:
        """Run `tocsin ...`; what it said."""
        process = ServiceProcess(arguments[0], self.environment, self.directory)
        process.log = self.directory / "command.log"
        process.log.unlink(missing_ok=True)
        assert await process.run(*arguments[1:]) == wanted, process.tail()
        return process.tail()

    async def call(self, method: str, path: str, body: Any = None, wanted: int = 200) -> Any:
        async with self.session.request(method, f"/api/v1{path}", json=body) as answer:
            text = await answer.text()
            assert answer.status == wanted, f"{method} {path}: {answer.status} {text}"
            return json.loads(text) if text else None

    async def trigger(self, host: str, **more: Any) -> str:
        body = {"rule_id": "slow", "labels": {"host": host, "team": "ops"}, **more}
        found: str = (await self.call("POST", "/alerts/trigger", body, 201))["fingerprint"]
        return found

    async def resolve(self, fingerprint: str) -> None:
        await self.call("POST", f"/alerts/{fingerprint}/resolve", {})

    async def outcomes(self, fingerprint: str) -> list[str]:
        detail = await self.call("GET", f"/alerts/{fingerprint}")
        return [f"{one['outcome']} {one.get('reason', '')}".strip() for one in detail["decisions"]]

    def log(self) -> str:
        return "\n".join(service.tail() for service in self.services.values())


def told(receiver: WebReceiver) -> list[tuple[str, list[str]]]:
    """Each group that a receiver was told of: why, and the hosts of its alerts with their states."""
    found = []
    for _, body in receiver.requests:
        group = json.loads(body)["data"]["group"]
        found.append((group["reason"], sorted(f"{one['labels']['host']} {one['status']}" for one in group["alerts"])))
    return found


@asynccontextmanager
async def world(kafka: str, directory: Path, prefix: str, **settings: str) -> AsyncIterator[World]:
    port = own_port()
    await create_topics(kafka, topic_specs(prefix, PARTITIONS))
    environment = {
        "TOCSIN_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TOCSIN_KAFKA_TOPIC_PREFIX": prefix,
        "TOCSIN_DATA_DIR": str(directory),
        "TOCSIN_DELIVERY__ALLOW_NETWORKS": "127.0.0.0/8",
        "TOCSIN_API_PORT": str(port),
        "TOCSIN_API_TOKEN": TOKEN,
        "TOCSIN_LOG_FORMAT": "console",
        **settings,
    }
    services = {name: ServiceProcess(name, environment, directory) for name in ("route", "deliver", "api")}
    async with AsyncExitStack() as stack:
        hook = await stack.enter_async_context(WebReceiver().listening())
        chat = await stack.enter_async_context(WebReceiver().listening())
        headers = {"Authorization": f"Bearer {TOKEN}"}
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers))
        for service in services.values():
            stack.push_async_callback(service.kill)
        await asyncio.gather(*(service.start() for service in services.values()))
        made = World(session, services, hook, chat, directory, environment)
        for name, receiver in (("hook", hook), ("chat", chat)):
            channel = {"id": name, "type": "webhook", "config": {"url": receiver.url}}
            await made.call("POST", "/channels", channel, 201)
        await made.call("POST", "/rules", RULE, 201)
        yield made
        assert [await service.stop() for service in services.values()] == [0, 0, 0], made.log()


async def is_decided(at: World, fingerprint: str, outcome: str) -> bool:
    return any(found.startswith(outcome) for found in await at.outcomes(fingerprint))
