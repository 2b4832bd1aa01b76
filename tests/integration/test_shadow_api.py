"""Shadow mode over HTTP against a real Kafka: what it takes, what it refuses, and what a promotion writes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from tests.integration.conftest import TOKEN

from tocsin.api.state import Api
from tocsin.cli.app import run
from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import Record, encode
from tocsin.schemas.instant import format_instant, parse_instant
from tocsin.schemas.shadow import ShadowProgress
from tocsin.testing import collect, eventually
from tocsin.testing.alerts import firing_event

RULE: dict[str, Any] = {"id": "slow", "metric_type": "response_time", "threshold": 1000, "notifications": ["hook"]}
CANDIDATE = {**RULE, "threshold": 1200}
SHADOW = "/rules/slow/shadow"
BEGIN = "begin with PUT, or `tocsin shadow start FILE`"


class Client:
    """An API process, and a session with it."""

    def __init__(self, api: Api, session: aiohttp.ClientSession) -> None:
        self.api, self.session = api, session
        self.servers = api.context.connection.bootstrap_servers
        self.topics = api.context.topics

    async def call(self, method: str, path: str, body: Any = None, wanted: int = 200, **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, f"/api/v1{path}", json=body, headers=sent) as answer:
            content = await answer.read()
            assert answer.status == wanted, (answer.status, content)
            return json.loads(content) if content else None

    async def keys(self) -> list[tuple[bytes, bool]]:
        """Every record of the rules topic: its key, and whether it deletes."""
        return [(record.key, record.value is None) for record in await collect(self.servers, self.topics.rules)]

    async def say(self, topic: str, key: str, record: Record) -> None:
        async with started(AIOKafkaProducer(**producer_arguments(KafkaConnection(self.servers))), self.servers) as one:
            await one.send_and_wait(topic, encode(record), key=key.encode())


@pytest.fixture
def client(served: tuple[Api, aiohttp.ClientSession]) -> Client:
    return Client(*served)


async def test_a_candidate_begins_goes_on_and_takes_over(client: Client) -> None:
    created = await client.call("POST", "/rules", RULE, 201)
    begun = await client.call("PUT", SHADOW, {"rule": CANDIDATE, "for": "2h"}, 201)
    assert (begun["state"], begun["candidate"]["threshold"]) == ("running", 1200)
    assert parse_instant(begun["until"]) - parse_instant(begun["since"]) == 7_200_000
    assert (await client.call("GET", "/rules"))["total"] == 1
    assert [one["rule_id"] for one in (await client.call("GET", "/shadows"))["items"]] == ["slow"]
    assert (await client.call("GET", "/rules/slow"))["threshold"] == 1000

    longer = await client.call("PUT", SHADOW, {"rule": CANDIDATE, "for": "1d"}, 200)
    assert longer["since"] == begun["since"] < longer["until"]
    other = await client.call("PUT", SHADOW, {"rule": {**CANDIDATE, "threshold": 1300}}, 200)
    assert other["since"] > begun["since"]

    report = await client.call("GET", SHADOW)
    assert report["totals"] == {"both": 0, "only_current": 0, "only_candidate": 0, "unseen": 0}
    assert (report["current"], report["judged"]["at"]) == ({"revision": created["revision"], "changed": False}, None)

    promoted = await client.call("POST", f"{SHADOW}/promote")
    assert promoted["threshold"] == 1300
    assert (await client.call("GET", "/rules/slow"))["revision"] == promoted["revision"]
    assert (await client.keys())[-2:] == [(b"slow", False), (b"shadow/slow", True)]
    await client.call("GET", SHADOW, wanted=404)
    assert (await client.call("GET", "/shadows"))["total"] == 0


async def test_a_candidate_without_a_rule_becomes_one(client: Client) -> None:
    await client.call("PUT", "/rules/new/shadow", {"rule": {**CANDIDATE, "id": "new"}}, 201)
    assert (await client.call("GET", "/rules/new/shadow"))["current"] is None
    await client.call("GET", "/rules/new", wanted=404)
    assert (await client.call("POST", "/rules/new/shadow/promote", wanted=201))["id"] == "new"


async def test_a_promotion_that_was_killed_half_way_ends_when_it_is_repeated(client: Client) -> None:
    await client.call("POST", "/rules", RULE, 201)
    await client.call("PUT", SHADOW, {"rule": CANDIDATE}, 201)
    written = await client.call("PUT", "/rules/slow", CANDIDATE)  # the first of its two writes
    done = await client.call("POST", f"{SHADOW}/promote")
    assert done["revision"] == written["revision"]
    assert (await client.keys())[-1] == (b"shadow/slow", True)


async def test_a_rule_that_was_changed_meanwhile_is_not_undone_by_accident(client: Client) -> None:
    await client.call("POST", "/rules", RULE, 201)
    await client.call("PUT", SHADOW, {"rule": CANDIDATE}, 201)
    changed = await client.call("PATCH", "/rules/slow", {"name": "Slow"})
    problem = await client.call("POST", f"{SHADOW}/promote", wanted=409)
    assert "'slow' was changed since its candidate began" in problem["detail"]
    assert "If-Match" in problem["detail"]
    assert (await client.call("GET", SHADOW))["current"]["changed"] is True
    await client.call("POST", f"{SHADOW}/promote", None, 412, If_Match='"0"')
    await client.call("POST", f"{SHADOW}/promote", None, 200, If_Match=f'"{changed["revision"]}"')

    await client.call("PUT", SHADOW, {"rule": RULE}, 201)
    await client.call("DELETE", "/rules/slow", wanted=204)
    problem = await client.call("POST", f"{SHADOW}/promote", wanted=409)
    assert "'slow' was deleted since its candidate began" in problem["detail"]
    await client.call("DELETE", SHADOW, wanted=204)
    await client.call("DELETE", SHADOW, wanted=404)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "rule: is missing; add it"),
        (CANDIDATE, "threshold: is not a known field here; it belongs under 'rule'"),
        ({"rule": {**CANDIDATE, "id": "fast"}}, "rule.id: is 'fast' in the body and 'slow' in the address; use one"),
        ({"rule": {**CANDIDATE, "treshold": 1}}, "rule.treshold: is not a known field; did you mean 'threshold'?"),
        ({"rule": {**CANDIDATE, "operator": "above"}}, "rule.operator: "),
        ({"rule": {**CANDIDATE, "labels": {"a": "{{ valve }}"}}}, "rule.labels.a: "),
        ({"rule": CANDIDATE, "for": "5 days"}, "for: '5 days' is not a duration; try 5m"),
        ({"rule": CANDIDATE, "for": "15d"}, "for: must be from 1s to 14d; try 1d"),
        ({"rule": CANDIDATE, "for_ms": "1d"}, "for_ms: is not a known field; did you mean 'for'?"),
        ({"rule": CANDIDATE, "for": "0s"}, "for: must be from 1s to 14d; try 1d"),
    ],
)
async def test_a_mistake_names_its_field_and_the_mend(client: Client, body: Any, said: str) -> None:
    problem = await client.call("PUT", SHADOW, body, 422)
    assert said in problem["detail"], problem


async def test_what_is_not_in_shadow_is_said(client: Client) -> None:
    for method, path in (("GET", SHADOW), ("POST", f"{SHADOW}/promote"), ("DELETE", SHADOW)):
        problem = await client.call(method, path, wanted=404)
        assert problem["detail"] == f"no candidate of rule 'slow' is in shadow; {BEGIN}"
    await client.call("PUT", "/rules/a%20b/shadow", {"rule": CANDIDATE}, 422)
    await client.call("GET", f"{SHADOW}?verbose=1", wanted=400)


async def differing(client: Client) -> dict[str, Any]:
    """One alert of both, one that is gone, one that is new and over, and one of a candidate before this one."""
    begun: dict[str, Any] = await client.call("PUT", SHADOW, {"rule": CANDIDATE}, 201)
    at, revision = begun["since"], begun["revision"]
    times = {"starts_at": at, "fired_at": at, "updated_at": at}

    def event(number: int, of: str, host: str, **more: Any) -> AlertEvent:
        facts = {"rule_id": "slow", "notifications": ("hook",), "labels": {"host": host}, **times, **more}
        return firing_event(number, f"{of}000000000000000{host}", **facts)

    same, gone = event(1, "", "a"), event(1, "", "b")
    later = format_instant(parse_instant(at) + 1)
    over = {"type": "resolved", "status": "resolved", "ends_at": later, "updated_at": later, "rule_revision": revision}
    proposed = [
        event(1, "shadow/", "a", rule_revision=revision),
        event(1, "shadow/", "c", rule_revision=revision, severity="critical", notifications=()),
        event(2, "shadow/", "c", notifications=(), **over),
        event(1, "shadow/", "d", rule_revision=revision - 1),
    ]
    await client.say(client.topics.alert_state, same.fingerprint, same)
    for one in (same, gone):
        await client.say(client.topics.alerts, one.fingerprint, one)
    for one in proposed:
        await client.say(client.topics.shadow_alerts, one.fingerprint, one)
    for partition in "01":
        progress = ShadowProgress("slow", revision, partition, 20, 2, parse_instant(at))
        await client.say(client.topics.shadow_progress, f"slow/{partition}", progress)
    return {"at": at, "later": later}


async def test_the_report_compares_what_both_sides_said(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    await client.call("POST", "/channels", {"id": "hook", "type": "console"}, 201)
    await client.call("PUT", "/routes", {"route": {"channels": ["hook"]}}, 201)
    await client.call("POST", "/rules", RULE, 201)
    times = await differing(client)

    async def whole() -> Any:
        found = await client.call("GET", SHADOW)
        return found if (found["judged"]["samples"], sum(found["totals"].values())) == (40, 3) else None

    found = await eventually(whole, 20)
    assert found["judged"]["series"] == 4
    assert found["totals"] == {"both": 1, "only_current": 1, "only_candidate": 1, "unseen": 0}
    assert found["notifications"] == {"added": 2, "removed": 1}
    assert found["only_current"][0]["labels"] == {"host": "b"}
    (added,) = found["only_candidate"]
    assert (added["fingerprint"], added["severity"]) == ("000000000000000c", "critical")
    assert (added["fired_at"], added["ended_at"]) == (times["at"], times["later"])
    assert (added["value"], added["notifications"]) == (1234.5, 2)
    (both,) = found["both"]
    assert (len(both["current"]), len(both["candidate"])) == (1, 1)

    url = f"http://127.0.0.1:{client.api.context.settings.api.port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOCSIN_API_TOKEN", TOKEN)
        code = await asyncio.to_thread(run, ["shadow", "report", "slow", "--url", url])
        out, said = capsys.readouterr()
        assert (code, "host=b" in out, "host=c" in out) == (0, True, True)
        assert "1 in both, 1 added, 1 removed; notifications: 2 added, 1 removed" in said
        code = await asyncio.to_thread(run, ["shadow", "report", "slow", "--url", url, "--exit-code", "-o", "json"])
        assert (code, json.loads(capsys.readouterr().out)["totals"]) == (1, found["totals"])


async def test_the_command_line_starts_what_differs_and_promotes_it(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_API_TOKEN", TOKEN)
    url = ["--url", f"http://127.0.0.1:{client.api.context.settings.api.port}"]

    async def cli(*arguments: str) -> tuple[int, str]:
        code = await asyncio.to_thread(run, [*arguments, *url])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    await client.call("POST", "/rules", RULE, 201)
    await client.call("POST", "/rules", {**RULE, "id": "same"}, 201)
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps([CANDIDATE, {**RULE, "id": "same"}, {**RULE, "id": "new"}]))
    code, said = await cli("shadow", "start", str(rules), "--for", "2h")
    assert (code, "slow runs in shadow until " in said, "2 started, 1 as in force" in said) == (0, True, True)
    listed = (await cli("shadow", "list", "-o", "json"))[1]
    assert [(one["rule_id"], one["state"]) for one in json.loads(listed)] == [("new", "running"), ("slow", "running")]
    assert "no difference so far" in (await cli("shadow", "report", "new"))[1]
    assert (await cli("shadow", "stop", "new"))[0] == 0
    assert (await cli("shadow", "report", "new")) == (1, f"no candidate of rule 'new' is in shadow; {BEGIN}\n")
    await client.call("PATCH", "/rules/slow", {"name": "Slow"})
    assert (await cli("shadow", "promote", "slow"))[0] == 1
    assert (await cli("shadow", "promote", "slow", "--force"))[0] == 0
    assert (await client.call("GET", "/rules/slow"))["threshold"] == 1200
    code, said = await cli("shadow", "start", str(rules), "--for", "soon")
    assert (code, said) == (1, "for: 'soon' is not a duration; try 5m (units: ms s m h d w)\n")
    await cli("shadow", "start", str(rules))
    assert (await cli("shadow", "promote", "new", "--force"))[0] == 0
    rules.write_text(json.dumps({**CANDIDATE, "treshold": 5}))
    code, said = await cli("shadow", "start", str(rules))
    assert (code, "treshold: is not a known field; did you mean 'threshold'?" in said) == (1, True)
