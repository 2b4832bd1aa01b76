"""The API against a real Kafka when something is amiss: mistakes, forged records, a projection that is behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp
import orjson
import pytest
from aiokafka import AIOKafkaProducer
from msgspec.structs import replace
from sqlalchemy.exc import OperationalError
from tests.integration.conftest import TOKEN

from tocsin.api import requests
from tocsin.api.connections import Limits
from tocsin.api.service import ApiError, _until_stopped, serving
from tocsin.api.state import Api
from tocsin.context import Context
from tocsin.kafka.errors import KafkaUnreachable
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import decode_document, encode
from tocsin.schemas.rule import Rule
from tocsin.testing import collect, eventually
from tocsin.testing.alerts import firing_event

RULE: dict[str, Any] = {"id": "slow", "metric_type": "response_time", "threshold": 1000}
HOOK: dict[str, Any] = {"id": "hook", "type": "webhook", "config": {"url": "https://hooks.example.test/a"}}
TRIGGER: dict[str, Any] = {"rule_id": "slow"}


class Client:
    """An API process, and a session with it."""

    def __init__(self, api: Api, session: aiohttp.ClientSession) -> None:
        self.api = api
        self.session = session
        self.topics = api.context.topics

    async def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        async with self.session.request(method, path, json=body, headers=headers) as answer:
            content = await answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            found = orjson.loads(content) if content and is_json else content
            if answer.status >= 400 and not path.startswith("/readyz"):
                assert answer.headers["Content-Type"].startswith("application/problem+json"), found
                assert answer.status != 503 or "Retry-After" in answer.headers
            return answer.status, found

    @property
    def producer(self) -> AIOKafkaProducer:
        return self.api.producer


@pytest.fixture
def client(served: tuple[Api, aiohttp.ClientSession]) -> Client:
    return Client(*served)


@pytest.fixture
def broken(client: Client, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, the database takes and gives nothing."""

    def no_connection(*_: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("the server closed the connection"))

    def do() -> None:
        monkeypatch.setattr(type(client.api.database), "reading", no_connection)
        monkeypatch.setattr(type(client.api.database), "writing", no_connection)

    return do


async def test_a_rule_is_named_in_the_path_the_query_or_the_body(client: Client) -> None:
    for body, query in ((RULE, ""), ({"id": "slow"}, "?id=slow"), ({"id": "slow"}, ""), (None, "?id=slow")):
        assert (await client.call("PUT", "/api/v1/rules?id=slow", RULE))[0] in (200, 201)
        body = {"id": "slow"} if body is RULE else body
        assert (await client.call("DELETE", f"/api/v1/rules{query}", body))[0] == 204
        assert (await client.call("GET", "/api/v1/rules?id=slow"))[0] == 404
    assert (await client.call("DELETE", "/api/v1/rules?id=slow", {"id": "other"}))[0] == 422
    assert (await client.call("DELETE", "/api/v1/rules/slow", {"id": "other"}))[0] == 422
    status, problem = await client.call("DELETE", "/api/v1/rules", {})
    assert (status, problem["errors"][0]["field"]) == (422, "id")
    assert (await client.call("DELETE", "/api/v1/rules", {"id": "none"}))[0] == 404


async def test_a_composite_is_taken_only_over_rules_that_are_there_and_holds_them(client: Client) -> None:
    both = {"id": "both", "condition": "composite", "conditions": ["slow", "not slwo"]}
    await client.call("POST", "/api/v1/rules", RULE)
    status, problem = await client.call("POST", "/api/v1/rules", both)
    assert (status, problem["errors"]) == (
        422,
        [{"field": "conditions.1.rule", "message": "there is no rule 'slwo' in force; did you mean 'slow'?"}],
    )
    assert (await client.call("POST", "/api/v1/rules/validate", both))[1]["errors"] == problem["errors"]
    assert (await client.call("POST", "/api/v1/rules", {**both, "conditions": ["slow"]}))[0] == 201
    over = {"condition": "composite", "metric_type": "", "threshold": None, "conditions": ["both"]}
    status, problem = await client.call("PATCH", "/api/v1/rules/slow", over)
    assert (status, problem["detail"]) == (
        422, "conditions.0.rule: goes round in a circle: slow > both > slow; take one out",
    )  # fmt: skip
    status, problem = await client.call("DELETE", "/api/v1/rules/slow")
    assert (status, problem["detail"]) == (
        409, "rule 'slow' is a member of 'both'; take it out there, or delete that first",
    )  # fmt: skip
    alone = {"rule": {**both, "conditions": ["slow"]}, "samples": []}
    status, problem = await client.call("POST", "/api/v1/rules/backtest", alone)
    assert (status, problem["errors"][0]["field"]) == (422, "both.conditions.0.rule")
    assert (await client.call("DELETE", "/api/v1/rules/both"))[0] == 204
    assert (await client.call("DELETE", "/api/v1/rules/slow"))[0] == 204


async def test_garbage_on_the_topics_leaves_the_last_good_entries(client: Client) -> None:
    await client.call("POST", "/api/v1/rules", RULE)
    await client.call("POST", "/api/v1/channels", HOOK)
    for topic, key in ((client.topics.rules, b"slow"), (client.topics.channels, b"hook")):
        for value in (b"garbage", b"[]", b"null", b'{"id": 5}'):
            await client.producer.send_and_wait(topic, value, key=key)
            await client.producer.send_and_wait(topic, value, key=b"\xff")
    await eventually(lambda: client.api.projector.passed_over.total() == 16)
    for path, id_ in (("rules", "slow"), ("channels", "hook")):
        status, found = await client.call("GET", f"/api/v1/{path}")
        assert (status, [entry["id"] for entry in found["items"]]) == (200, [id_])
    text = (await client.call("GET", "/metrics"))[1].decode()
    assert f'tocsin_projection_passed_over_records{{topic="{client.topics.rules}"}} 8.0' in text


async def test_what_overwrote_an_entry_is_a_dead_letter_and_the_entry_is_written_again(client: Client) -> None:
    await client.call("POST", "/api/v1/rules", RULE)
    await client.call("POST", "/api/v1/rules", {**RULE, "id": "newer"})
    later = orjson.dumps({**RULE, "id": "newer", "a_field_of_a_later_version": 1})
    await client.producer.send_and_wait(client.topics.rules, b"garbage", key=b"slow")
    await client.producer.send_and_wait(client.topics.rules, later, key=b"newer")

    async def mended() -> bool:
        records = await collect(client.api.context.connection.bootstrap_servers, client.topics.rules)
        return [record.key for record in records] == [b"slow", b"newer", b"slow", b"newer", b"slow"]

    await eventually(mended, 20, "the last good rule on the topic, once")
    rules = await collect(client.api.context.connection.bootstrap_servers, client.topics.rules)
    assert decode_document(Rule, rules[-1].value) == decode_document(Rule, rules[0].value)
    dead = await collect(client.api.context.connection.bootstrap_servers, client.topics.dlq)
    headers = [{name: value.decode() for name, value in record.headers} for record in dead]
    assert [(one["topic"], one["offset"], one["reason"]) for one in headers] == [
        (client.topics.rules, "3" if record.key == b"newer" else "2", "unreadable") for record in dead
    ]
    assert {record.key for record in dead} == {b"slow", b"newer"}
    text = (await client.call("GET", "/metrics"))[1].decode()
    assert 'tocsin_configuration_unreadable{kind="rules"} 1.0' in text


async def test_routes_and_silences_that_were_overwritten_are_written_again(client: Client) -> None:
    assert (await client.call("PUT", "/api/v1/routes", {"route": {"channels": ["console"]}}))[0] == 201
    assert (await client.call("POST", "/api/v1/silences", {"id": "night", "match": ["host=a"]}))[0] == 201
    servers = client.api.context.connection.bootstrap_servers
    for topic, key in ((client.topics.routes, b"routing"), (client.topics.silences, b"night")):
        await client.producer.send_and_wait(topic, b"garbage", key=key)

        async def is_mended(topic: str = topic) -> bool:
            values = [record.value for record in await collect(servers, topic)]
            return len(values) == 3 and orjson.loads(values[2]) == orjson.loads(values[0])

        await eventually(is_mended, 20, f"the last good entry of {topic}")


async def test_a_silence_that_silences_nothing_is_refused_by_the_field_that_makes_it_so(client: Client) -> None:
    never = {"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "duration": "1h"}
    over = {"starts_at": "2019-01-01T00:00:00Z", "ends_at": "2020-01-01T00:00:00Z"}
    for more, field in (({"duration": "0s"}, "duration"), (over, "ends_at"), ({"schedule": never}, "schedule.rrule")):
        status, problem = await client.call("POST", "/api/v1/silences", {"match": ["host=a"], **more})
        assert (status, [error["field"] for error in problem["errors"]]) == (422, [field])


async def test_pages_of_silences_go_on_behind_one_that_was_removed(client: Client) -> None:
    for name in ("a", "b", "c"):
        assert (await client.call("POST", "/api/v1/silences", {"id": name, "match": ["host=a"]}))[0] == 201
    first = (await client.call("GET", "/api/v1/silences?limit=2"))[1]
    assert [one["id"] for one in first["items"]] == ["a", "b"]
    await client.api.write(client.topics.silences, "b", None)
    last = (await client.call("GET", f"/api/v1/silences?limit=2&cursor={first['next_cursor']}"))[1]
    assert ([one["id"] for one in last["items"]], last["next_cursor"]) == (["c"], None)
    assert (await client.call("GET", "/api/v1/silences?cursor=bogus"))[0] == 400


async def test_a_write_that_cannot_be_read_yet_is_not_called_done(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> bool:
        return False

    async def always(*_: object) -> bool:
        return True

    with monkeypatch.context() as behind:
        behind.setattr(client.api.projector, "reached", never)
        status, problem = await client.call("POST", "/api/v1/rules", RULE)
        assert (status, "nothing was changed" in problem["detail"]) == (503, True)
        assert await collect(client.api.context.connection.bootstrap_servers, client.topics.rules) == []
        with monkeypatch.context() as apart:
            apart.setattr(client.api.projector, "in_step", always)
            status, problem = await client.call("POST", "/api/v1/rules", RULE)
            assert (status, problem["detail"].partition(":")[0]) == (503, "written, not readable yet")
        status, _ = await client.call("PUT", "/api/v1/rules/slow", RULE, {"If-Match": '"0"'})
        assert status == 503
    assert (await client.call("PUT", "/api/v1/rules/slow", RULE, {"If-Match": 'W/"0", "9"'}))[0] == 200


async def test_an_answer_waits_for_the_transition_whatever_its_time(client: Client) -> None:
    """Commands have the time of a clock, events may have that of samples long ago."""
    fingerprint = "9f2c000000000001"
    firing = firing_event(1, fingerprint)
    acknowledged = replace(firing, id="next", sequence=2, type="acknowledged", status="acknowledged")
    await _happen(client, firing)
    asked = asyncio.create_task(client.call("POST", f"/api/v1/alerts/{fingerprint}/acknowledge", {}))
    await collect(client.api.context.connection.bootstrap_servers, client.topics.commands, count=1)
    await _happen(client, acknowledged)
    status, body = await asked
    assert (status, body["id"]) == (200, "next")


async def _happen(client: Client, event: AlertEvent) -> None:
    for topic in (client.topics.alerts, client.topics.alert_state):
        await client.producer.send_and_wait(topic, encode(event), key=event.fingerprint.encode())

    async def is_shown() -> bool:
        status, found = await client.call("GET", f"/api/v1/alerts/{event.fingerprint}")
        latest = [one["id"] for one in found.get("timeline", ())][-1:]
        return status == 200 and found["alert"]["id"] == event.id and latest == [event.id]

    await eventually(is_shown)


async def test_locks_are_not_kept(client: Client) -> None:
    for number in range(20):
        assert (await client.call("DELETE", f"/api/v1/rules/none-{number}"))[0] == 404
    await eventually(lambda: len(client.api._locks) == 0)


async def test_a_database_that_does_not_answer_is_said_so(client: Client, broken: Callable[[], None]) -> None:
    broken()
    for path in ("rules", "channels", "alerts/active", "statistics", "dlq"):
        status, problem = await client.call("GET", f"/api/v1/{path}")
        assert (status, problem["detail"].startswith("the database does not answer")) == (503, True)
    status, text = await client.call("GET", "/metrics")
    assert (status, b"tocsin_api_requests_total" in text, b"tocsin_alerts_active{" in text) == (200, True, False)
    assert (await client.call("GET", "/readyz"))[0] == 503


async def test_redriving_without_kafka_is_said_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(*_: object) -> None:
        raise KafkaUnreachable("127.0.0.1:1", "nothing answers there")

    await client.producer.send_and_wait(client.topics.dlq, b"{}", headers=[("topic", b"metrics")])
    (identity,) = await _dead_letters(client, 1)
    monkeypatch.setattr("tocsin.api.deadletters._records", unreachable)
    status, problem = await client.call("POST", "/api/v1/dlq/redrive", {"ids": [identity]})
    assert (status, problem["detail"].startswith("Kafka does not answer")) == (503, True)


async def test_a_redriven_message_is_what_it_was(client: Client) -> None:
    headers = [
        ("content-type", b"application/json"),
        ("message-reason", b"mine"),
        ("topic", client.topics.signals.encode()),
        ("reason", b"json"),
    ]
    headers += [("partition", b"0"), ("offset", b"4"), ("timestamp", b"1764000000123"), ("detail", b"x")]
    await client.producer.send_and_wait(client.topics.dlq, b"{}", key=b"k", headers=headers)
    (identity,) = await _dead_letters(client, 1)
    assert not await _was_put_back(client)
    assert (await client.call("POST", "/api/v1/dlq/redrive", {"ids": [identity]}))[0] == 200
    await eventually(lambda: _was_put_back(client))
    servers = client.api.context.connection.bootstrap_servers
    (record,) = await collect(servers, client.topics.signals, count=1)
    assert (record.key, record.value, record.timestamp) == (b"k", b"{}", 1_764_000_000_123)
    assert record.headers == (("content-type", b"application/json"), ("reason", b"mine"))


async def _was_put_back(client: Client) -> bool:
    (one,) = (await client.call("GET", "/api/v1/dlq"))[1]["items"]
    return one["redriven_at"] is not None


async def test_a_dead_letter_cannot_write_configuration(client: Client) -> None:
    names = [client.topics.rules, client.topics.channels, client.topics.audit, client.topics.deliveries, "elsewhere"]
    for name in names:
        await client.producer.send_and_wait(client.topics.dlq, b"{}", headers=[("topic", name.encode())])
    for identity in await _dead_letters(client, len(names)):
        status, problem = await client.call("POST", "/api/v1/dlq/redrive", {"ids": [identity]})
        assert (status, "takes nothing back" in problem["detail"]) == (409, True)


async def _dead_letters(client: Client, count: int) -> list[str]:
    async def found() -> list[str]:
        _, body = await client.call("GET", "/api/v1/dlq")
        return [item["id"] for item in body["items"]] if body["total"] == count else []

    return await eventually(found)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("statistics?from=999999999999000&to=999999999999999", "from"),
        ("statistics?to=999999999999999", "to"),
        ("statistics?bucket=99999999999w", "bucket"),
        ("alerts/history?from=999999999999999", "from"),
        ("alerts/active?cursor=WzE4NDQ2NzQ0MDczNzA5NTUxNjE1LCJhIl0", "cursor"),
        ("alerts/active?severity=crit", "severity"),
        ("alerts/active?severity=", "severity"),
        ("alerts/active?status=x", "status"),
        ("alerts/history?type=x", "type"),
        ("alerts/history?learns=x", "learns"),
        ("alerts/active?rule_id=", "rule_id"),
        ("alerts/active?q=%00", "q"),
        ("rules?enabled=maybe", "enabled"),
        ("rules?severity=crit", "severity"),
        ("deliveries?outcome=lost", "outcome"),
        ("dlq?limit=" + "9" * 5_000, "limit"),
    ],
)
async def test_a_wrong_parameter_is_named(client: Client, path: str, field: str) -> None:
    status, problem = await client.call("GET", f"/api/v1/{path}")
    assert (status, [error["field"] for error in problem["errors"]]) == (400, [field])


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"a": "x" * 8_193}},
        {"annotations": {"a": "x" * 8_193}},
        {"annotations": {f"a{number}": "x" * 8_000 for number in range(9)}},
        {"labels": {f"a{number}": "é" * 8_000 for number in range(5)}},
    ],
    ids=["label", "annotation", "together", "bytes"],
)
async def test_texts_of_a_trigger_are_bounded(client: Client, change: dict[str, Any]) -> None:
    status, problem = await client.call("POST", "/api/v1/alerts/trigger", {**TRIGGER, **change})
    assert (status, len(problem["errors"])) == (422, 1)


async def test_an_alert_of_an_unknown_rule_is_raised_only_with_a_name(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.api.acting.READ_BACK_S", 0.0)  # nobody carries it out
    await client.call("POST", "/api/v1/rules", RULE)
    for asked, mend in (("slwo", "did you mean 'slow'? An"), ("disk", "an")):
        status, problem = await client.call("POST", "/api/v1/alerts/trigger", {"rule_id": asked})
        said = f"there is no rule {asked!r}; {mend} alert without a rule needs a name"
        assert (status, problem["detail"]) == (404, said)
    assert (await client.call("POST", "/api/v1/alerts/trigger", {"rule_id": "disk", "name": "Disk"}))[0] == 202
    await client.call("DELETE", "/api/v1/rules/slow")


async def test_a_foreign_name_is_answered_nothing(client: Client) -> None:
    port = client.api.context.settings.api.port
    for path in ("/", "/healthz", "/api/v1/rules", "/assets/app.js", "/none"):
        assert (await client.call("GET", path, headers={"Host": "evil.example"}))[0] == 421
    for host in (f"localhost:{port}", f"127.0.0.1:{port}"):
        assert (await client.call("GET", "/api/v1/rules", headers={"Host": host}))[0] == 200
    assert (await client.call("GET", "/api/v1/alerts/%00"))[0] == 400


async def test_what_comes_too_slowly_is_given_up(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "BODY_S", 0.5)
    monkeypatch.setattr("tocsin.api.service.Limits", partial(Limits, header_s=0.05))
    header = (
        b"POST /api/v1/rules HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
        b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"
    )
    async with serving(context):
        assert b"application/problem+json" not in await _last_words(context, header)
        # The deadline of the header is over long before that of the body, which has a reason of its own.
        assert b"application/problem+json" in await _last_words(context, header + b"\r\n{")


async def _last_words(context: Context, sent: bytes) -> bytes:
    """What is answered until the other side closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", context.settings.api.port)
    writer.write(sent)
    answered = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    assert answered.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answered.lower()
    return answered


async def test_the_end_of_the_projection_ends_the_service(client: Client) -> None:
    client.api.following.cancel()
    await asyncio.gather(client.api.following, return_exceptions=True)
    with pytest.raises(ApiError, match="the projection ended"):
        await asyncio.wait_for(_until_stopped(client.api, asyncio.Event()), 20)
    status, body = await client.call("GET", "/readyz?only=api")
    assert (status, body["components"]["projection"]["ready"]) == (503, False)
