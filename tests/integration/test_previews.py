"""Previews of channels over HTTP and on the command line: nothing is sent, and mistakes have their place."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
from tests.integration.conftest import TOKEN

from tocsin.api.state import Api
from tocsin.schemas.codec import encode
from tocsin.testing import collect, eventually
from tocsin.testing.alerts import firing_event

CHAT = {
    "id": "chat",
    "type": "slack",
    "config": {"webhook_url": "https://hooks.slack.com/services/T0/B0/a-secret", "template": "{{ labels.service }}!"},
}
DRAFT = """\
- id: chat
  type: slack
  config:
    webhook_url: https://hooks.slack.com/services/T0/B0/another
    template: "{{ labels.none.at_all }}"
- id: bad
  type: slack
  config: {webhook_url: "https://hooks.slack.com/x", template: "{{ nope }}"}
"""


async def post(session: aiohttp.ClientSession, path: str, body: Any) -> tuple[int, Any]:
    async with session.post(f"/api/v1{path}", json=body) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_a_channel_shows_what_it_would_send(served: tuple[Api, aiohttp.ClientSession], tmp_path: Path) -> None:
    api, session = served
    assert (await post(session, "/channels", CHAT))[0] == 201
    status, found = await post(session, "/channels/preview", {"channel": "chat"})
    assert (status, found["text_by"], found["problems"]) == (200, "config.template", [])
    assert found["sent"]["blocks"][1]["text"]["text"] == "api!"

    event = firing_event(labels={"service": "shop"}, annotations={"message_slack": "the shop itself"})
    await api.send(api.context.topics.alerts, event.fingerprint, encode(event))
    await eventually(lambda: _has(session, f"/alerts/{event.fingerprint}"), 20, "the alert is there")
    status, found = await post(session, "/channels/preview", {"channel": "chat", "alert": event.fingerprint})
    assert (found["text_by"], found["sent"]["blocks"][1]["text"]["text"]) == (
        "annotations.message_slack",
        "the shop itself",
    )
    rule = {"id": "slow", "metric_type": "m", "threshold": 5, "annotations": {"message": "{{ value }} of {{ metric }}"}}
    status, found = await post(session, "/channels/preview", {"channel": "chat", "draft_rule": rule})
    assert found["sent"]["blocks"][1]["text"]["text"] == "6 of m"
    kept = {**CHAT, "config": {"webhook_url": "********", "template": "{{ title }}?"}}
    status, found = await post(session, "/channels/preview", {"draft": kept})
    assert (status, "High Response Time Alert?" in str(found["sent"]), "a-secret" in str(found)) == (200, True, False)

    refused = [
        ({}, 422, "channel"),
        ({"channel": "none"}, 404, ""),
        ({"channel": "chat", "rule": "none"}, 404, ""),
        ({"channel": "chat", "alert": "0000"}, 404, ""),
        ({"channel": "chat", "template": "{{ a"}, 422, "template"),
        ({"draft": {**CHAT, "config": {}}}, 422, "draft.config"),
        ({"channel": "chat", "draft_rule": {**rule, "annotations": {"message": "{{"}}}, 422, "draft_rule.annotations"),
    ]
    for body, code, field in refused:
        status, problem = await post(session, "/channels/preview", body)
        assert status == code, problem
        assert not field or problem["errors"][0]["field"].startswith(field), problem
    assert await collect(api.context.connection.bootstrap_servers, api.context.topics.notifications("slack")) == []
    await _on_the_command_line(api, tmp_path)


async def _has(session: aiohttp.ClientSession, path: str) -> bool:
    async with session.get(f"/api/v1{path}") as answer:
        return answer.status == 200


async def _on_the_command_line(api: Api, tmp_path: Path) -> None:
    (tmp_path / "channels.yaml").write_text(DRAFT.split("- id: bad", maxsplit=1)[0])
    (tmp_path / "bad.yaml").write_text(DRAFT)
    (tmp_path / "text.j2").write_text("{{ title }}\n{{ labels.none.at_all }}\n")
    code, said, _ = await _run(api, tmp_path, "chat", "-o", "json")
    assert (code, json.loads(said)["sent"]["blocks"][1]["text"]["text"]) == (0, "api!")
    code, _, said = await _run(api, tmp_path, "chat", "--file", "channels.yaml")
    assert (code, said.startswith("channels.yaml:5:15: config.template: ")) == (1, True), said
    code, _, said = await _run(api, tmp_path, "bad", "--file", "bad.yaml")
    assert (code, said.startswith("bad.yaml:8:")) == (1, True), said
    code, _, said = await _run(api, tmp_path, "chat", "--template", "text.j2")
    assert (code, said.startswith("text.j2: the template cannot be used: line 2: ")) == (1, True), said


async def _run(api: Api, folder: Path, *arguments: str) -> tuple[int, str, str]:
    url = f"http://127.0.0.1:{api.context.settings.api.port}"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tocsin", "channels", "preview", *arguments, "--url", url,
        cwd=folder, env={"TOCSIN_API_TOKEN": TOKEN, "PATH": "/usr/bin:/bin", "TOCSIN_DATA_DIR": str(folder / "none")},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode is not None
    return child.returncode, output.decode(), errors.decode()
