"""What is stored and cannot be read by this version: said to be so, in nobody's way, and to be written anew."""

from __future__ import annotations

from typing import Any

import aiohttp
import orjson
import pytest
from sqlalchemy import select, update

from tocsin.agents.clock import clock_ms
from tocsin.api.clearing import clear
from tocsin.api.state import Api
from tocsin.projection.tables import document

RULE: dict[str, Any] = {"id": "slow", "metric_type": "response_time", "threshold": 1000}
HOOK: dict[str, Any] = {"id": "hook", "type": "webhook", "config": {"url": "https://hooks.example.test/a"}}
SHIFT = {"people": ["anna"], "starts": "2026-01-05"}
WRITTEN: dict[str, dict[str, Any]] = {
    "rules/slow": RULE,
    "channels/hook": HOOK,
    "people/anna": {"contacts": ["hook"]},
    "schedules/primary": {"layers": [SHIFT]},
    "silences/quiet": {"match": ["a=b"]},
    "routes": {"route": {"channels": ["hook"]}},
}
REFUSED: tuple[tuple[str, str, Any], ...] = (
    ("POST", "channels/test", {"channel": "hook"}),
    ("POST", "channels/preview", {"channel": "hook"}),
    ("PATCH", "channels/hook", {"name": "x"}),
    ("POST", "routes/test", {"labels": {}}),
    ("GET", "silences/quiet", None),
    ("GET", "schedules/primary/shifts", None),
    ("GET", "schedules/primary/calendar.ics", None),
    ("POST", "schedules/primary/overrides", {"person": "anna", "ends_at": "2100-01-01T00:00:00Z"}),
    ("DELETE", "schedules/primary/overrides/none", None),
)
SHOWN = (
    "rules", "rules/slow", "channels", "channels/hook", "people", "schedules", "silences", "silences/calendar",
    "silences/calendar.ics", "oncall", "people/anna/calendar.ics", "routes", "configuration",
)  # fmt: skip


async def test_what_another_version_stored_is_said_to_be_so_and_can_be_written_anew(
    served: tuple[Api, aiohttp.ClientSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, session = served

    async def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with session.request(method, f"/api/v1/{path}", json=body) as answer:
            return answer.status, await answer.json(content_type=None) if "json" in answer.content_type else None

    monkeypatch.setattr("tocsin.api.acting.READ_BACK_S", 0.0)  # nobody carries out what is triggered
    for path, body in WRITTEN.items():
        assert (await call("PUT", path, body))[0] == 201
    async with api.database.writing() as connection:
        for row in (await connection.execute(select(document))).all():
            newer = update(document).where(document.c.kind == row.kind, document.c.id == row.id)
            await connection.execute(
                newer.values(body=orjson.dumps({**orjson.loads(row.body), "of_a_later_version": 1}).decode())
            )

    unreadable = "of_a_later_version: is not a known field; remove it); write it anew with PUT, or delete it"
    for method, path, asked in REFUSED:
        status, problem = await call(method, path, asked)
        assert (status, problem["detail"].endswith(unreadable)) == (409, True), (path, problem)
    for path in SHOWN:
        assert (await call("GET", path))[0] == 200, path
    assert (await call("POST", "channels/preview", {"draft": HOOK}))[0] == 200
    assert (await call("GET", "channels/hook"))[1]["config"] == {}, "what is a credential is not known"
    assert (await call("GET", "silences"))[1]["items"][0]["state"] == "expired"
    assert (await call("GET", "routes"))[1]["warnings"][0]["message"].endswith(unreadable)
    assert (await call("POST", "alerts/trigger", {"rule_id": "slow"}))[0] == 202
    await clear(api, clock_ms())
    for path, body in WRITTEN.items():
        assert (await call("PUT", path, body))[0] == 200, path
