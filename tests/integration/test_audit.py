"""What is changed through the API goes on record, what is refused or only read does not."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer

from tocsin.api.state import Api
from tocsin.kafka.clients import producer_arguments, started
from tocsin.testing import collect, eventually

RULE: dict[str, Any] = {"id": "slow", "metric_type": "m", "threshold": 1}
HOOK: dict[str, Any] = {
    "id": "hook", "type": "webhook", "config": {"url": "https://hooks.example.test/a", "secret": "a-secret-of-ours"},
}  # fmt: skip


async def call(session: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with session.request(method, f"/api/v1{path}", json=body) as answered:
        return answered.status, await answered.json() if answered.content_length else None


async def test_each_change_that_was_accepted_is_one_entry(served: tuple[Api, aiohttp.ClientSession]) -> None:
    api, session = served
    assert (await call(session, "POST", "/rules", RULE))[0] == 201
    assert (await call(session, "POST", "/rules", RULE))[0] == 409
    assert (await call(session, "POST", "/rules/validate", RULE))[0] == 200
    assert (await call(session, "PUT", "/rules/slow", {**RULE, "threshold": "x"}))[0] == 422
    assert (await call(session, "PATCH", "/rules/slow", {"threshold": 2}))[0] == 200
    assert (await call(session, "POST", "/channels", HOOK))[0] == 201
    assert (await call(session, "DELETE", "/rules", {"id": "slow"}))[0] == 204

    async def listed() -> list[Any]:
        found = (await call(session, "GET", "/audit"))[1]["items"]
        return [(one["action"], one["target"], one["status"]) for one in reversed(found)]

    wanted = [
        ("POST /rules", {"id": "slow"}, 201),
        ("PATCH /rules/{id}", {"id": "slow"}, 200),
        ("POST /channels", {"id": "hook"}, 201),
        ("DELETE /rules", {"id": "slow"}, 204),
    ]
    await eventually(lambda: _is(listed, wanted), 20, "the entries")
    patched = (await call(session, "GET", "/audit?action=PATCH%20/rules/%7Bid%7D"))[1]["items"]
    assert [one["after"]["threshold"] for one in patched] == [2]
    topic = api.context.topics.audit
    written = await collect(api.context.connection.bootstrap_servers, topic)
    assert [record.key for record in written] == [b"admin"] * 4
    assert not any(b"a-secret-of-ours" in record.value for record in written)
    assert (await call(session, "GET", "/audit/verify"))[1] == {"whole": True, "entries": 4, "fault": None}

    forger = AIOKafkaProducer(**producer_arguments(api.context.connection))
    async with started(forger, api.context.connection.bootstrap_servers):
        await forger.send_and_wait(topic, written[1].value.replace(b'"status":200', b'"status":201'), key=b"admin")
    verdict = (await call(session, "GET", "/audit/verify"))[1]
    assert (verdict["whole"], verdict["fault"].split(" (")[0]) == (
        False,
        "offset 4: the seal is not that of this content, or of another key",
    )


async def _is(listed: Any, wanted: list[Any]) -> bool:
    return bool(await listed() == wanted)


async def test_what_is_in_force_and_cannot_be_read_yet_is_on_record(
    served: tuple[Api, aiohttp.ClientSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, session = served
    answers = iter([True, False])  # before the change, and after it

    async def reached(*_: Any) -> bool:
        return next(answers)

    with monkeypatch.context() as patched:
        patched.setattr(type(api.projector), "reached", reached)
        status, refused = await call(session, "PUT", "/rules/slow", RULE)
    assert (status, refused["detail"].split(":")[0]) == (503, "written, not readable yet")

    async def entries() -> list[Any]:
        found = (await call(session, "GET", "/audit"))[1]["items"]
        return [(one["action"], one["target"], one["status"]) for one in found]

    await eventually(lambda: _is(entries, [("PUT /rules/{id}", {"id": "slow"}, 503)]), 20, "the entry")
