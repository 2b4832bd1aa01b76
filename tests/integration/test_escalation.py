"""An escalation policy with real services: set up by file, told step by step, through kill -9, until an answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.integration.conftest import TOKEN
from tests.integration.routed import RULE, World, world

from tocsin.api.state import Api
from tocsin.cli.app import run
from tocsin.testing import eventually
from tocsin.testing.receivers import WebReceiver

ONCALL = """\
people:
  - {id: anna, name: Anna, contacts: [hook]}
  - {id: ben, contacts: [chat]}
schedules:
  - {id: primary, layers: [{people: [anna], starts: 2026-01-05}]}
escalations:
  - id: page
    steps:
      - notify: [{schedule: primary}]
      - {wait: 2s, notify: [{person: ben}]}
      - {wait: 1h, notify: [hook]}
"""


def told(receiver: WebReceiver) -> list[str]:
    return [json.loads(body)["type"] for _, body in receiver.requests]


async def escalation(at: World, fingerprint: str) -> Any:
    return (await at.call("GET", f"/alerts/{fingerprint}"))["explanation"]["escalation"]


async def test_a_policy_goes_on_until_somebody_answers(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        (at.directory / "oncall.yaml").write_text(ONCALL)
        applied = await at.command("escalations", "apply", str(at.directory / "oncall.yaml"))
        assert "4 created, 0 changed, 0 deleted, 0 unchanged" in applied
        await at.call("PUT", "/rules/slow", {**RULE, "escalation_policy": "page"})
        wrong = await at.call("POST", "/alerts/trigger", {"rule_id": "slow", "escalation_policy": "none"}, 422)
        assert wrong["detail"] == "escalation_policy: there is no escalation policy 'none'; name another"
        alert = await at.trigger("a1")
        await eventually(
            lambda: told(at.chat) == ["tocsin.alert.escalated"], 30, f"the second step; {told(at.hook)} {told(at.chat)}"
        )
        assert told(at.hook) == ["tocsin.alert.firing"]

        async def waits() -> Any:
            found = await escalation(at, alert)
            return found if found["state"] == "waiting" and found["due"]["step"] == 3 else None

        before = await eventually(waits, 20, "the third step is due")
        assert [(one["step"], one["outcome"], one["people"]) for one in before["steps"]] == [
            (1, "sent", ["anna"]), (2, "sent", ["ben"]),
        ]  # fmt: skip
        await at.services["route"].kill()
        await at.services["route"].start()
        assert await escalation(at, alert) == before
        assert f"step 3, due at {before['due']['at']}" in await at.command("alerts", "explain", alert)

        await at.call("POST", f"/alerts/{alert}/acknowledge", {})

        async def is_answered() -> bool:
            found = await escalation(at, alert)
            return bool(found["state"] == "acknowledged") and bool(found["steps"][-1]["outcome"] == "acknowledged")

        await eventually(is_answered, 20, "somebody answered")
        await at.call("POST", f"/alerts/{alert}/unacknowledge", {})
        await eventually(lambda: told(at.chat)[1:] == ["tocsin.alert.escalated"], 30, "who was told last, again")
        after = await eventually(waits, 20, "the third step is due again")
        assert after["due"]["at"] > before["due"]["at"]
        await at.resolve(alert)
        await eventually(lambda: told(at.chat)[2:] == told(at.hook)[1:] == ["tocsin.alert.resolved"], 30, "the end")
        assert (await escalation(at, alert))["state"] == "resolved"


@pytest.fixture
async def command(
    served: tuple[Api, aiohttp.ClientSession],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., Awaitable[str]]:
    """Runs `tocsin ...` against an API with two channels, beside files; what it said."""
    api, session = served
    monkeypatch.setenv("TOCSIN_API_PORT", str(api.context.settings.api.port))
    monkeypatch.setenv("TOCSIN_API_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    for name in ("hook", "chat"):
        channel = {"id": name, "type": "webhook", "config": {"url": "https://hooks.example.test/a"}}
        assert (await session.post("/api/v1/channels", json=channel)).status == 201
    (tmp_path / "oncall.yaml").write_text(ONCALL)
    (tmp_path / "rules.yaml").write_text("{id: slow, metric_type: x, threshold: 1, escalation_policy: page}")

    async def command(*arguments: str, wanted: int = 0) -> str:
        capfd.readouterr()
        code = await asyncio.to_thread(run, arguments)
        said = capfd.readouterr()
        assert code == wanted, said
        return said.out + said.err

    return command


async def test_files_are_applied_and_what_is_in_use_stays(command: Callable[..., Awaitable[str]]) -> None:
    warned = await command("rules", "apply", "rules.yaml")
    assert "slow: escalation_policy: there is no escalation policy 'page' yet; add it, or name another" in warned
    assert "+id: primary" in await command("people", "apply", "oncall.yaml", "--dry-run")
    assert "4 created, 0 changed" in await command("schedules", "apply", "oncall.yaml")
    assert "0 created, 0 changed, 0 deleted, 4 unchanged" in await command("people", "apply", "oncall.yaml")
    assert "schedule primary > person ben > hook" in await command("escalations", "list")
    refused = await command("people", "delete", "anna", wanted=1)
    assert "person 'anna' is named by schedule 'primary'; take it out there first" in refused
    assert "named by rule 'slow'" in await command("escalations", "delete", "page", wanted=1)
    await command("rules", "delete", "slow")
    for group, name in (("escalations", "page"), ("schedules", "primary"), ("people", "anna")):
        await command(group, "delete", name)
    assert "no schedules yet" in await command("oncall")


async def test_who_is_on_call_is_said_and_changed_by_commands(command: Callable[..., Awaitable[str]]) -> None:
    await command("schedules", "apply", "oncall.yaml")
    assert "anna" in await command("oncall")
    assert "Anna" in await command("oncall", "primary", "--at", "2026-12-24T18:00:00+01:00")
    times = ("--from", "2100-01-01T00:00:00Z", "--until", "2100-01-02T00:00:00Z")
    made = (await command("schedules", "override", "primary", "ben", *times, "-m", "swapped")).splitlines()[-1]
    assert "ben" in await command("oncall", "--at", "2100-01-01T12:00:00Z")
    span = ("--from", "2099-12-31T00:00:00Z", "--to", "2100-01-03T00:00:00Z")
    shown = await command("schedules", "preview", "primary", *span)
    assert made in shown
    assert shown.count("anna") == 2
    await command("schedules", "apply", "oncall.yaml")  # which says nothing of overrides
    assert "swapped" in await command("schedules", "get", "primary")
    assert (await command("schedules", "calendar", "primary", *span)).count("BEGIN:VEVENT") == 3
    assert (await command("people", "calendar", "ben", *span)).count("BEGIN:VEVENT") == 1
    await command("schedules", "override", "primary", "--remove", made)
    assert "ben" not in await command("oncall", "--at", "2100-01-01T12:00:00Z")
