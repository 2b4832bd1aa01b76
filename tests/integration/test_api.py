"""The API against a real Kafka, without the other services: writes, reads, and every way to refuse."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from multidict import CIMultiDict
from tests.integration.conftest import TOKEN

from tocsin.api.app import make_app
from tocsin.api.service import ApiError, serving
from tocsin.api.state import Api
from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import decode, encode
from tocsin.schemas.command import Command
from tocsin.schemas.instant import format_instant
from tocsin.testing import collect, eventually
from tocsin.testing.alerts import firing_event, resolved_event

RULE: dict[str, Any] = {"id": "slow", "metric_type": "response_time", "threshold": 1000}
HOOK: dict[str, Any] = {
    "id": "hook", "type": "webhook", "config": {"url": "https://hooks.example.test/a", "secret": "a-secret-of-ours"},
}  # fmt: skip


class Client:
    """An API process, and a session with it."""

    def __init__(self, api: Api, session: aiohttp.ClientSession) -> None:
        self.api = api
        self.session = session

    async def call(
        self, method: str, path: str, body: Any = None, *, data: bytes | None = None, **headers: str
    ) -> tuple[int, Any, CIMultiDict[str]]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, path, json=body, data=data, headers=sent) as answer:
            content = await answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, json.loads(content) if content and is_json else content, CIMultiDict(answer.headers)

    async def refused(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        status, problem, answered = await self.call(method, path, body, data=None, **headers)
        assert answered["Content-Type"].startswith("application/problem+json"), answered
        assert problem["status"] == status
        return status, problem["detail"]


@pytest.fixture
def client(served: tuple[Api, aiohttp.ClientSession]) -> Client:
    return Client(*served)


async def test_channels_and_routes_are_changed_in_part(client: Client) -> None:
    await client.call("POST", "/api/v1/channels", HOOK)
    changed = {"config": {"timeout": "7s", "retry": {"attempts": 3}}, "name": "Hook"}
    status, patched, headers = await client.call("PATCH", "/api/v1/channels/hook", changed)
    assert (status, patched["name"], patched["config"]["secret"]) == (200, "Hook", "********")
    assert patched["config"]["url"] == HOOK["config"]["url"]
    assert patched["config"]["timeout"] == "7s"
    again = {"config": {"timeout": None}}
    tag = headers["ETag"]
    status, patched, _ = await client.call("PATCH", "/api/v1/channels/hook", again, If_Match=tag)
    assert (status, "timeout" in patched["config"]) == (200, False)
    assert (await client.refused("PATCH", "/api/v1/channels/hook", again, If_Match=tag))[0] == 412
    elsewhere = {"config": {"url": "https://elsewhere.example.test/a"}}
    status, detail = await client.refused("PATCH", "/api/v1/channels/hook", elsewhere)
    assert (status, detail) == (422, "config.secret: changing the destination needs the secret again; give it anew")
    assert (await client.refused("PATCH", "/api/v1/channels/hook", {"id": "other"}))[0] == 422
    assert (await client.refused("PATCH", "/api/v1/channels/none", {}))[0] == 404

    assert (await client.refused("PATCH", "/api/v1/routes", {}))[0] == 404
    routes = {"route": {"channels": ["hook"], "group_wait": "1s"}, "time_intervals": []}
    tag = (await client.call("PUT", "/api/v1/routes", routes))[2]["ETag"]
    wanted = {"route": {"group_wait": None, "repeat_interval": "1h"}}
    status, patched, _ = await client.call("PATCH", "/api/v1/routes", wanted, If_Match=tag)
    assert (status, patched["route"]) == (200, {"channels": ["hook"], "repeat_interval": "1h"})
    assert (await client.refused("PATCH", "/api/v1/routes", wanted, If_Match=tag))[0] == 412
    assert (await client.refused("PATCH", "/api/v1/routes", {"route": None}))[0] == 422


async def test_rules_are_written_read_changed_and_deleted(client: Client) -> None:
    status, created, headers = await client.call("POST", "/api/v1/rules", RULE)
    assert (status, created["id"], headers["Location"]) == (201, "slow", "/api/v1/rules/slow")
    tag = headers["ETag"]
    assert (await client.call("GET", "/api/v1/rules/slow"))[1] == created
    assert (await client.call("GET", "/api/v1/rules?id=slow"))[1] == created
    assert (await client.refused("POST", "/api/v1/rules", RULE))[0] == 409

    status, patched, headers = await client.call(
        "PATCH", "/api/v1/rules/slow", {"threshold": 5, "name": "Slow"}, If_Match=tag
    )
    assert (status, patched["threshold"], patched["name"]) == (200, 5, "Slow")
    assert (await client.refused("PATCH", "/api/v1/rules/slow", {"threshold": 6}, If_Match=tag))[0] == 412
    assert (await client.call("PATCH", "/api/v1/rules/slow", {"name": None}))[1]["name"] == ""
    assert (await client.call("PUT", "/api/v1/rules?id=slow", {**RULE, "threshold": 9}))[1]["threshold"] == 9
    assert (await client.call("PUT", "/api/v1/rules/other", {"metric_type": "x", "threshold": 1}))[0] == 201

    _, found, _ = await client.call("GET", "/api/v1/rules?limit=1")
    assert (found["total"], [rule["id"] for rule in found["items"]]) == (2, ["other"])
    _, rest, _ = await client.call("GET", f"/api/v1/rules?limit=1&cursor={found['next_cursor']}")
    assert ([rule["id"] for rule in rest["items"]], rest["next_cursor"]) == (["slow"], None)

    assert (await client.call("DELETE", "/api/v1/rules/slow"))[0] == 204
    assert (await client.refused("GET", "/api/v1/rules/slow"))[0] == 404
    assert (await client.refused("DELETE", "/api/v1/rules/slow"))[0] == 404
    written = await collect(client.api.context.connection.bootstrap_servers, client.api.context.topics.rules)
    assert [(record.key, record.value is None) for record in written][-1] == (b"slow", True)


@pytest.mark.parametrize(
    ("change", "field", "mend"),
    [
        ({"treshold": 5}, "treshold", "did you mean 'threshold'"),
        ({"threshold": "high"}, "threshold", "must be a number"),
        ({"operator": "greater"}, "operator", "is not one of"),
        ({"duration": "5 apples"}, "duration", "5m"),
        ({"aggregation": "avg"}, "", "window"),
        ({"window": {"size": "0s"}}, "window", "1m"),
        ({"annotations": {"summary": "{{ value"}}, "annotations.summary", "line 1"),
        ({"annotations": {"summary": "{{ valve }}"}}, "annotations.summary", "'valve' is not known"),
        ({"match": ["service=~("]}, "match", "("),
        ({"id": "a b"}, "id", "characters"),
    ],
)
async def test_a_wrong_rule_names_the_field_and_the_mend(
    client: Client, change: dict[str, Any], field: str, mend: str
) -> None:
    status, problem, _ = await client.call("POST", "/api/v1/rules", {**RULE, **change})
    assert status == 422
    assert [one for one in problem["errors"] if one["field"].startswith(field) and mend in one["message"]], problem
    status, verdict, _ = await client.call("POST", "/api/v1/rules/validate", {**RULE, **change})
    assert (status, verdict["valid"], verdict["errors"]) == (200, False, problem["errors"])


async def test_what_has_no_effect_in_a_rule_is_said(client: Client) -> None:
    calm = {"id": "calm", "metric_type": "m", "threshold": 1, "no_data_after": "10s"}
    status, made, _ = await client.call("POST", "/api/v1/rules", calm)
    assert (status, [one["field"] for one in made["warnings"]]) == (201, ["no_data_after"])
    over = {"id": "over", "condition": "composite", "conditions": [{"rule": "calm", "on_no_data": "alert"}]}
    _, verdict, _ = await client.call("POST", "/api/v1/rules/validate", over)
    assert [one["field"] for one in verdict["warnings"]] == ["conditions.0.on_no_data"]
    assert "rule 'calm' is never without data" in verdict["warnings"][0]["message"]


async def test_requests_are_refused_in_one_line(client: Client) -> None:
    status, problem, _ = await client.call("POST", "/api/v1/rules", data=b'{"id": \n x}')
    assert (status, "line 2" in problem["detail"]) == (400, True)
    assert (await client.refused("POST", "/api/v1/rules", [1]))[0] == 400
    assert (await client.refused("GET", "/api/v1/nothing"))[0] == 404
    status, _, headers = await client.call("DELETE", "/api/v1/alerts/active")
    assert (status, "GET" in headers["Allow"]) == (405, True)
    assert (await client.refused("GET", "/api/v1/alerts/active?limit=0"))[1].startswith("limit: ")
    assert (await client.refused("GET", "/api/v1/alerts/active?severty=x"))[1].startswith("severty: ")
    assert "did you mean 'severity'" in (await client.refused("GET", "/api/v1/alerts/active?severty=x"))[1]
    assert (await client.refused("GET", "/api/v1/alerts/active?cursor=x"))[1].startswith("cursor: ")
    assert (await client.refused("GET", "/api/v1/alerts/history?from=yesterday"))[1].startswith("from: ")
    assert (await client.refused("POST", "/api/v1/rules", {"id": "x" * 2_000_000}))[0] == 413
    assert (await client.refused("POST", "/api/v1/alerts/0000/acknowledge", {}))[0] == 404


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic dXNlcg==", "Bearer " + TOKEN[:-1]])
@pytest.mark.parametrize("path", ["/api/v1/rules", "/api/v1/%72ules", "/api/v1/configuration", "/api/v1/none"])
async def test_nothing_is_answered_without_the_token(client: Client, header: str, path: str) -> None:
    status, detail = await client.refused("GET", path, Authorization=header)
    assert (status, "Authorization" in detail) == (401, True)


async def test_what_is_open_to_all(client: Client) -> None:
    for path in ("/healthz", "/metrics", "/", "/assets/app.js", "/api/v1/openapi.json", "/api/v1/docs"):
        status, _, headers = await client.call("GET", path, Authorization="")
        assert (status, headers["X-Content-Type-Options"]) == (200, "nosniff"), path

    async def ready() -> bool:
        return (await client.call("GET", "/readyz?only=api", Authorization=""))[0] == 200

    await eventually(ready)
    status, body, _ = await client.call("GET", "/readyz", Authorization="")
    assert (status, body["components"]["evaluate"]["ready"]) == (503, False)


async def test_credentials_never_come_out(client: Client) -> None:
    status, created, headers = await client.call("POST", "/api/v1/channels", HOOK)
    assert (status, created["config"]["secret"]) == (201, "********")
    kept = {**HOOK, "name": "Ops", "config": {**HOOK["config"], "secret": "********"}}
    assert (await client.call("PUT", "/api/v1/channels/hook", kept, If_Match=headers["ETag"]))[0] == 200
    moved = {**kept, "config": {**kept["config"], "url": "https://elsewhere.example.test/"}}
    status, problem, _ = await client.call("PUT", "/api/v1/channels/hook", moved)
    assert (status, problem["errors"][0]["field"]) == (422, "config.secret")
    stored = await collect(client.api.context.connection.bootstrap_servers, client.api.context.topics.channels)
    shown = json.dumps((await client.call("GET", "/api/v1/channels"))[1])
    assert all(b"a-secret-of-ours" not in record.value for record in stored)
    assert "a-secret-of-ours" not in shown
    assert "sealed" not in shown
    assert TOKEN not in json.dumps((await client.call("GET", "/api/v1/configuration"))[1])


@pytest.mark.parametrize(
    ("change", "field"),
    [({"type": "emial"}, "type"), ({"config": {"url": "ftp://x"}}, "config.url"), ({"config": {}}, "config.url")],
)
async def test_a_wrong_channel_names_the_field(client: Client, change: dict[str, Any], field: str) -> None:
    status, problem, _ = await client.call("POST", "/api/v1/channels", {**HOOK, **change})
    assert status == 422
    assert field in [one["field"] for one in problem["errors"]], problem


async def test_alerts_are_listed_filtered_and_shown(client: Client) -> None:
    topics, servers = client.api.context.topics, client.api.context.connection.bootstrap_servers
    async with started(AIOKafkaProducer(**producer_arguments(KafkaConnection(servers))), servers) as producer:
        for number in range(3):
            fingerprint = f"000000000000000{number}"
            expected = {"value": 1.0, "score": 9.0} if number == 0 else None
            event = firing_event(1, fingerprint, labels={"service": f"s{number}"}, expected=expected)
            await producer.send_and_wait(topics.alerts, encode(event), key=fingerprint.encode())
            await producer.send_and_wait(topics.alert_state, encode(event), key=fingerprint.encode())
        ended = resolved_event(2, "0000000000000000")
        await producer.send_and_wait(topics.alerts, encode(ended), key=b"0000000000000000")
        await producer.send_and_wait(topics.alert_state, encode(ended), key=b"0000000000000000")

    async def both() -> bool:
        _, found, _ = await client.call("GET", "/api/v1/alerts/active")
        _, past, _ = await client.call("GET", "/api/v1/alerts/history")
        return (found["total"], past["total"]) == (2, 4)

    await eventually(both)
    assert (await client.call("GET", "/api/v1/alerts/active?label.service=s1"))[1]["total"] == 1
    assert (await client.call("GET", "/api/v1/alerts/active?severity=critical"))[1]["total"] == 0
    assert (await client.call("GET", "/api/v1/alerts/active?q=SERVICE%3Ds2"))[1]["total"] == 1
    assert (await client.call("GET", "/api/v1/alerts/history?type=resolved"))[1]["total"] == 1
    for asked, total in (("learns=true", 2), ("learns=true&type=resolved", 1), ("learns=false", 2)):
        assert (await client.call("GET", f"/api/v1/alerts/history?{asked}"))[1]["total"] == total
    asked = "fingerprint=0000000000000000,0000000000000001"
    assert (await client.call("GET", f"/api/v1/alerts/history?{asked}"))[1]["total"] == 3
    status, detail, _ = await client.call("GET", "/api/v1/alerts/0000000000000000")
    assert (status, [event["type"] for event in detail["timeline"]]) == (200, ["firing", "resolved"])
    assert (await client.refused("GET", "/api/v1/alerts/ffff"))[0] == 404
    figures = (await client.call("GET", "/api/v1/statistics?from=2026-11-23T00:00:00Z&to=2026-11-24T00:00:00Z"))[1]
    assert figures["events"]["by_type"] == {"firing": 3, "resolved": 1}
    assert figures["mttr_s"] == 270.0
    text = (await client.call("GET", "/metrics"))[1].decode()
    assert 'tocsin_alerts_active{severity="warning",status="firing"} 2.0' in text


async def test_a_command_names_the_episode_that_was_seen(client: Client) -> None:
    topics, servers = client.api.context.topics, client.api.context.connection.bootstrap_servers
    event = firing_event(1, "000000000000000a")
    async with started(AIOKafkaProducer(**producer_arguments(KafkaConnection(servers))), servers) as producer:

        async def said(event: AlertEvent) -> None:
            for topic in (topics.alerts, topics.alert_state):
                await producer.send_and_wait(topic, encode(event), key=event.fingerprint.encode())

        async def seen() -> bool:
            return bool((await client.call("GET", "/api/v1/alerts/active"))[1]["total"])

        async def sent() -> list[Command]:
            return [decode(Command, record.value) for record in await collect(servers, topics.commands)]

        await said(event)
        await eventually(seen)
        asked = asyncio.create_task(client.call("POST", f"/api/v1/alerts/{event.fingerprint}/acknowledge", {}))
        command = (await eventually(sent))[0]
        now = format_instant(command.at_ms)
        await said(firing_event(2, event.fingerprint, type="acknowledged", status="acknowledged", updated_at=now))
        assert (await asked)[0] == 200
    assert (command.type, command.starts_at) == ("acknowledge", event.starts_at)


async def test_the_document_describes_every_route(client: Client) -> None:
    _, document, _ = await client.call("GET", "/api/v1/openapi.json")
    served = {
        (route.method, resource.canonical)
        for resource in make_app(client.api).router.resources()
        for route in resource
        if resource.canonical.startswith("/api/v1") and route.method not in ("HEAD", "OPTIONS")
    }
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    assert served - described == {("GET", "/api/v1/openapi.json"), ("GET", "/api/v1/docs")}
    assert described <= served
    references = set(_references(document))
    assert references <= set(document["components"]["schemas"]), references


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"].rsplit("/", 1)[1]] if isinstance(value.get("$ref"), str) else []
        return own + [name for entry in value.values() for name in _references(entry)]
    return [name for entry in value for name in _references(entry)] if isinstance(value, list) else []


async def test_a_taken_port_is_said_in_one_line(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ApiError, match=r"^api\.port: .* is taken by another program; .*TOCSIN_API_PORT"):
        async with serving(client.api.context):
            pass
