"""Routes, groups, silences and inhibitions with real services, and timers through kill -9."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tocsin.kafka.ports import free_ports
from tocsin.schemas.topics import topic_specs
from tocsin.testing import create_topics, eventually, pause
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
async def world(kafka: str, directory: Path, prefix: str) -> AsyncIterator[World]:
    (port,) = free_ports(1)
    await create_topics(kafka, topic_specs(prefix, PARTITIONS))
    environment = {
        "TOCSIN_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TOCSIN_KAFKA_TOPIC_PREFIX": prefix,
        "TOCSIN_DATA_DIR": str(directory),
        "TOCSIN_DELIVERY__ALLOW_NETWORKS": "127.0.0.0/8",
        "TOCSIN_API_PORT": str(port),
        "TOCSIN_API_TOKEN": TOKEN,
        "TOCSIN_LOG_FORMAT": "console",
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


async def test_a_group_is_one_message_a_silence_keeps_repeats_away_and_the_end_passes_it(
    kafka: str, tmp_path: Path, topic_prefix: str
) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        routing = {
            "route": {"channels": ["hook"], "group_by": ["team"], "group_wait": "3s", "group_interval": "1s",
                      "repeat_interval": "3s"},
        }  # fmt: skip
        assert (await at.call("PUT", "/routes", routing, 201))["warnings"] == []
        first, second = await asyncio.gather(at.trigger("a1"), at.trigger("b1"))
        await eventually(lambda: len(at.hook.requests) >= 2, 30, "the group, and its repeat")
        assert told(at.hook)[:2] == [("first", ["a1 firing", "b1 firing"]), ("repeat", ["a1 firing", "b1 firing"])]

        made = await at.call("POST", "/silences", {"match": ["team=ops"], "duration": "1h", "comment": "at work"}, 201)
        assert (made["preview"]["active"], made["state"]) == (2, "active")
        await eventually(lambda: is_decided(at, first, "silenced"), 20, "that it is silenced")
        said = len(at.hook.requests)
        await pause(4)
        assert len(at.hook.requests) == said, "nothing is repeated while it is silenced"

        await at.resolve(first)
        await eventually(lambda: told(at.hook)[said:] == [("some resolved", ["a1 resolved"])], 20, "one end")
        await at.resolve(second)
        await eventually(lambda: told(at.hook)[said + 1 :] == [("all resolved", ["b1 resolved"])], 20, "the other end")
        outcomes = await at.outcomes(first)
        assert outcomes[:2] == ["waiting", "sent first"]
        assert outcomes[-1] == "sent some resolved"
        detail = await at.call("GET", f"/alerts/{first}")
        assert {one["outcome"] for one in detail["deliveries"]} == {"delivered"}
        await at.call("DELETE", f"/silences/{made['id']}", wanted=204)
        assert (await at.call("GET", "/silences?state=expired"))["total"] == 1


async def is_decided(at: World, fingerprint: str, outcome: str) -> bool:
    return any(found.startswith(outcome) for found in await at.outcomes(fingerprint))


async def test_timers_go_on_after_kill_9(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        routing = {"route": {"channels": ["hook"], "group_by": ["team"], "group_wait": "6s", "group_interval": "10m"}}
        await at.call("PUT", "/routes", routing, 201)
        first = await at.trigger("a1")
        await eventually(lambda: is_decided(at, first, "waiting"), 20, "that it waits")
        await at.services["route"].kill()
        await at.services["route"].start()
        await eventually(lambda: len(at.hook.requests) == 1, 40, f"the group; {at.log()}")
        assert told(at.hook) == [("first", ["a1 firing"])]
        assert await at.outcomes(first) == ["waiting", "sent first"]
        await at.services["route"].kill()
        await at.services["route"].start()
        await at.resolve(first)
        await eventually(lambda: told(at.hook)[1:] == [("all resolved", ["a1 resolved"])], 40, "the end, at once")


async def test_other_routes_and_inhibitions_are_in_force_at_once(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        first = await at.trigger("a1")
        await eventually(lambda: is_decided(at, first, "no route"), 20, "that nobody is told")
        base = {"group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
        await at.call("PUT", "/routes", {"route": {**base, "channels": ["hook"]}}, 201)
        await eventually(lambda: told(at.hook) == [("first", ["a1 firing"])], 30, "who is active is told")
        routing = {
            "route": {**base, "channels": ["hook"], "routes": [{"match": ["host=a1"], "channels": ["chat"]}]},
            "inhibit_rules": [{"source": ["host=a1"], "target": ["host=b1"], "equal": ["team"], "hold": "1s"}],
        }
        await at.call("PUT", "/routes", routing)
        await eventually(lambda: told(at.chat) == [("first", ["a1 firing"])], 30, "another route has it")
        await eventually(lambda: told(at.hook)[1:] == [("all resolved", ["a1 resolved"])], 30, "the first one not")
        second = await at.trigger("b1")
        await eventually(lambda: is_decided(at, second, "inhibited"), 30, "that it is inhibited")
        await at.resolve(first)
        await eventually(lambda: told(at.hook)[2:] == [("first", ["b1 firing"])], 30, "the other, without the first")
        tested = await at.call("POST", "/routes/test", {"labels": {"host": "a1"}})
        assert [one["channels"] for one in tested["routes"]] == [["chat"]]


async def test_a_silence_that_is_too_broad_is_refused_and_shown(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        for number in range(12):
            await at.trigger(f"h{number}")
        refused = await at.call("POST", "/silences", {"match": ["team=ops"]}, 422)
        assert "matches 12 of 12 active alerts; narrow it, or set allow_broad: true" in refused["detail"]
        shown = await at.call("POST", "/silences/preview", {"match": ["host=h1"]})
        assert (shown["active"], shown["last_day"], shown["too_broad"]) == (1, 1, "")
        assert [one["labels"]["host"] for one in shown["alerts"]] == ["h1"]
        windows = {"match": ["host=h1"], "schedule": {"rrule": "FREQ=WEEKLY;BYDAY=SU", "duration": "2h"}}
        assert len((await at.call("POST", "/silences/preview", windows))["windows"]) == 10
        nothing = await at.call("POST", "/silences", {"match": ["host=~.*"]}, 422)
        assert "would match an alert without any labels" in nothing["detail"]
        await at.call("POST", "/silences", {"match": ["team=ops"], "allow_broad": True}, 201)
        assert "hits 1 of 12 active alerts" in await at.command("silences", "preview", "host=h1")
        assert "--allow-broad" in await at.command("silences", "add", "--help")
        added = await at.command("silences", "add", "host=h1", "--for", "2h", "-m", "at work")
        silence_id = added.splitlines()[0]
        assert "at work" in await at.command("silences", "list", "--state", "active")
        await at.command("silences", "expire", silence_id)
        assert (await at.call("GET", f"/silences/{silence_id}"))["state"] == "expired"
        await at.command("silences", "expire", silence_id)
        await at.call("GET", f"/silences/{silence_id}", wanted=404)
        (at.directory / "routes.yaml").write_text("route: {channels: [chat], group_by: [team]}")
        assert "routes created" in await at.command("routes", "apply", str(at.directory / "routes.yaml"))
        assert "unchanged" in await at.command("routes", "apply", str(at.directory / "routes.yaml"))
        assert "chat" in await at.command("routes", "test", "team=ops", "--expect", "chat")
        await at.command("routes", "delete")
