"""What the real Alertmanager says of scenarios: one process each, all at once, in real time on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from tests.alertmanager.scenarios import Scenario, line
from tests.semantics.routing.test_routing import timeline

from tocsin.engine.testing.notation import format_labels
from tocsin.kafka.ports import free_ports
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.duration import parse_duration
from tocsin.schemas.matcher import parse_matchers
from tocsin.testing.receivers import HOST
from tocsin.testing.waiting import eventually, pause


def find() -> str | None:
    """The binary that TOCSIN_TEST_ALERTMANAGER names, else one on the path."""
    found = os.environ.get("TOCSIN_TEST_ALERTMANAGER")
    return found or shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")


def version(binary: str) -> str:
    """Such as 0.25.0."""
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+\.\d+\.\d+)", said.stdout + said.stderr)
    assert found, f"no version in {said.stdout!r}"
    return found[1]


async def said(binary: str, scenarios: Sequence[Scenario], folder: Path) -> list[list[str]]:
    """Of each scenario the notifications, in order."""
    ports = free_ports(2 * len(scenarios))
    pairs = zip(ports[::2], ports[1::2], strict=True)
    return await asyncio.gather(*(_one(binary, one, folder, *pair) for one, pair in zip(scenarios, pairs, strict=True)))


async def _one(binary: str, scenario: Scenario, folder: Path, port: int, receivers_port: int) -> list[str]:
    loop, lines, began_s = asyncio.get_running_loop(), list[tuple[int, str]](), 0.0

    async def received(request: web.Request) -> web.Response:
        at_s = int(loop.time() - began_s)
        parts: list[list[str]] = [[], []]
        for alert in (await request.json())["alerts"]:
            labels = {name: value for name, value in alert["labels"].items() if name not in ("alertname", "severity")}
            parts[alert["status"] == "resolved"].append(alert["labels"]["alertname"] + format_labels(labels))
        lines.append((at_s, line(at_s, request.match_info["receiver"], *parts)))
        return web.Response()

    app = web.Application()
    app.router.add_post("/{receiver}", received)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, receivers_port).start()
        configuration = scenario.file(f"http://{HOST}:{receivers_port}")
        async with (
            _running(binary, configuration, folder / str(port), port) as url,
            aiohttp.ClientSession(url) as client,
        ):
            begin, began_s = datetime.now(UTC), loop.time()
            for silence in scenario.silences:
                await _post(client, "silences", _silence(silence, begin))
            for at_s, event in timeline(list(scenario.alerts), 0):
                await pause(max(0.0, began_s + at_s - loop.time()))
                await _post(client, "alerts", [_alert(event, begin)])
            await pause(began_s + scenario.until_s + 0.9 - loop.time())
    finally:
        await runner.cleanup()
    return [text for _, text in sorted(lines)]


@asynccontextmanager
async def _running(binary: str, configuration: dict[str, Any], folder: Path, port: int) -> AsyncIterator[str]:
    await asyncio.to_thread(folder.mkdir)
    (folder / "alertmanager.yml").write_text(json.dumps(configuration))
    url = f"http://{HOST}:{port}"
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            binary, f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}", "--cluster.listen-address=",
            f"--web.listen-address={url.removeprefix('http://')}", stdout=log, stderr=log,
        )  # fmt: skip
    try:
        async with aiohttp.ClientSession(url) as client:
            await eventually(lambda: _ready(client), 20.0, f"{folder} answers", 0.2)
        yield url
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _ready(client: aiohttp.ClientSession) -> bool:
    try:
        async with client.get("/-/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def _post(client: aiohttp.ClientSession, what: str, body: Any) -> None:
    async with client.post(f"/api/v2/{what}", json=body) as answer:
        assert answer.status == 200, await answer.text()


def _alert(event: AlertEvent, begin: datetime) -> dict[str, Any]:
    """As Prometheus sends it: its severity is a label."""
    labels = {"alertname": event.rule_id, "severity": event.severity, **event.labels}
    now = datetime.now(UTC)
    started = min(now, begin + (_moment(event.fired_at or event.starts_at) - _moment("2026-01-01T00:00:00.000Z")))
    found: dict[str, Any] = {"labels": labels, "annotations": {}, "startsAt": started.isoformat()}
    return found if event.is_active else {**found, "endsAt": now.isoformat()}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _silence(given: Any, begin: datetime) -> dict[str, Any]:
    start, end = (begin + timedelta(milliseconds=parse_duration(given[name])) for name in ("from", "to"))
    matchers = [
        {"name": m.name, "value": m.value, "isRegex": "~" in m.op, "isEqual": not m.op.startswith("!")}
        for text in given["match"]
        for m in parse_matchers(text)
    ]
    about = {"startsAt": start.isoformat(), "endsAt": end.isoformat(), "createdBy": "test", "comment": given["id"]}
    return {"matchers": matchers, **about}
