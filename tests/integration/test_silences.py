"""Silences that are changed, planned, reminded of, and removed when they were over long ago."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import icalendar
from aiokafka import ConsumerRecord
from tests.integration.routed import world

from tocsin.agents.clock import clock_ms
from tocsin.api.clearing import KEPT_MS, clear
from tocsin.api.state import Api
from tocsin.projection.apply import apply, changes_of
from tocsin.schemas.codec import encode
from tocsin.schemas.instant import parse_instant
from tocsin.testing import collect, eventually
from tocsin.testing.alerts import firing_event

PATH = "/api/v1/silences"
HOUR = 3_600_000


async def call(session: aiohttp.ClientSession, method: str, path: str, body: Any = None, **headers: str) -> Any:
    async with session.request(method, PATH + path, json=body, headers=headers) as answered:
        found = await answered.json() if answered.content_length else {}
        return answered.status, found, answered.headers.get("ETag", "")


async def test_one_is_changed_under_its_id_and_stays_as_it_was_when_it_is_over(
    served: tuple[Api, aiohttp.ClientSession],
) -> None:
    _, session = served
    status, made, tag = await call(session, "POST", "", {"match": ["host=a"], "comment": "one"})
    assert status == 201
    path = f"/{made['id']}"
    assert (await call(session, "GET", path))[2] == tag
    read = (await call(session, "GET", path))[1]
    status, same, _ = await call(session, "PUT", path, read)
    assert (status, same["starts_at"], same["ends_at"]) == (200, made["starts_at"], made["ends_at"])
    assert (await call(session, "PUT", path, {"match": ["host=b"]}, **{"If-Match": tag}))[0] == 412
    status, longer, _ = await call(session, "PUT", path, {"match": ["host=b"], "duration": "3h"})
    assert (status, longer["match"], longer["comment"]) == (200, ['host="b"'], "")
    assert longer["starts_at"] == made["starts_at"]
    assert parse_instant(longer["ends_at"]) - parse_instant(made["ends_at"]) >= 2 * HOUR
    assert (await call(session, "PUT", path, {"id": "other", "match": ["host=b"]}))[0] == 422
    assert (await call(session, "PUT", "/nightly", {"match": ["host=n"]}))[0] == 201
    assert (await call(session, "DELETE", path))[0] == 204
    status, problem, _ = await call(session, "PUT", path, {"match": ["host=b"], "duration": "3h"})
    assert (status, "is over" in problem["detail"]) == (409, True)
    short = {"match": ["host=a"], "duration": "20m", "reminder": {"before": "20m"}}
    status, problem, _ = await call(session, "POST", "", short)
    assert (status, [one["field"] for one in problem["errors"]]) == (422, ["reminder.before"])


async def test_the_calendar_has_the_windows_of_all_and_what_is_old_goes(
    served: tuple[Api, aiohttp.ClientSession],
) -> None:
    api, session = served
    cron = {"cron": "0 2 * * sun", "duration": "1h", "location": "Europe/Berlin"}
    weekly = {"id": "weekly", "match": ["host=a"], "starts_at": "2030-10-01T00:00:00Z", "schedule": cron}
    once = {"id": "once", "match": ["host=b"], "starts_at": "2030-10-15T00:00:00Z", "duration": "1d"}
    for body in (weekly, once, {"id": "now", "match": ["host=c"]}):
        assert (await call(session, "POST", "", body))[0] == 201
    span = "?from=2030-10-10T00:00:00Z&to=2030-11-05T00:00:00Z"
    found = (await call(session, "GET", f"/calendar{span}"))[1]
    assert [(one["silence"], one["begin"][:16], one["end"][:16]) for one in found["items"]] == [
        ("weekly", "2030-10-13T00:00", "2030-10-13T01:00"),
        ("once", "2030-10-15T00:00", "2030-10-16T00:00"),
        ("weekly", "2030-10-20T00:00", "2030-10-20T01:00"),
        ("weekly", "2030-10-27T00:00", "2030-10-27T01:00"),
        ("weekly", "2030-11-03T01:00", "2030-11-03T02:00"),
    ]
    async with session.get(f"{PATH}/calendar.ics{span}") as answered:
        read: Any = icalendar.Calendar.from_ical(await answered.text())
    events = [(str(one["summary"]), one.start.isoformat()[:16]) for one in read.walk("VEVENT")]
    assert events[:2] == [('silence: host="a"', "2030-10-13T00:00"), ('silence: host="b"', "2030-10-15T00:00")]
    assert (await call(session, "GET", "/calendar?from=2030-10-10T00:00:00Z&to=2030-10-09T00:00:00Z"))[0] == 400
    now_ms = clock_ms()
    await clear(api, now_ms + KEPT_MS)
    assert (await call(session, "GET", ""))[1]["total"] == 3
    await clear(api, now_ms + KEPT_MS + 2 * HOUR)
    assert [one["id"] for one in (await call(session, "GET", ""))[1]["items"]] == ["once", "weekly"]
    servers = api.context.connection.bootstrap_servers
    written = await collect(servers, api.context.topics.silences)
    assert (written[-1].key, written[-1].value) == (b"now", None)


async def test_the_list_of_alerts_says_which_are_kept_quiet(served: tuple[Api, aiohttp.ClientSession]) -> None:
    api, session = served
    read, topic = changes_of(api.context.topics), api.context.topics.alert_state
    events = [firing_event(1, f"9f2c00000000000{number}", labels={"host": f"a{number}"}) for number in range(4)]
    records = [
        ConsumerRecord(topic, 0, 0, 0, 0, one.fingerprint.encode(), encode(one), None, -1, -1, ()) for one in events
    ]
    async with api.database.writing() as connection:
        await apply(connection, list(filter(None, map(read[topic], records))))
    body = {"id": "s1", "match": ["host=~a[12]"], "comment": "new disks"}
    assert (await call(session, "POST", "", body))[0] == 201

    async def hosts(query: str = "") -> tuple[list[str], Any]:
        async with session.get(f"/api/v1/alerts/active{query}") as answered:
            found = await answered.json()
        return [f"{one['labels']['host']} {len(one['quiet'])}" for one in found["items"]], found

    assert (await hosts())[0] == ["a3 0", "a2 1", "a1 1", "a0 0"]
    assert sorted((await hosts("?quiet=true"))[0]) == ["a1 1", "a2 1"]
    first, found = await hosts("?quiet=false&limit=1&label.host=a3")
    assert (first, found["total"], found["next_cursor"]) == (["a3 0"], 1, None)
    first, found = await hosts("?quiet=false&limit=1")
    second, last = await hosts(f"?quiet=false&limit=1&cursor={found['next_cursor']}")
    assert (sorted(first + second), found["total"], last["next_cursor"]) == (["a0 0", "a3 0"], 2, None)
    async with session.get(f"/api/v1/alerts/{events[1].fingerprint}") as answered:
        (why,) = (await answered.json())["alert"]["quiet"]
    assert (why["why"], why["by"], why["comment"]) == ("silenced", ["s1"], "new disks")
    assert (await call(session, "DELETE", "/s1"))[0] == 204
    assert (await hosts("?quiet=true"))[0] == []


async def test_that_one_ends_soon_is_an_alert_until_it_is_prolonged(
    kafka: str, tmp_path: Path, topic_prefix: str
) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        added = await at.command(
            "silences", "add", "host=a1", "--for", "62s", "--remind-before", "1m", "--remind", "chat", "-m", "at work"
        )
        silence_id = added.splitlines()[0]
        await eventually(lambda: len(at.chat.requests) == 1, 30, "that it ends soon")
        active = (await at.call("GET", "/alerts/active?rule_id=tocsin_silence_ending"))["items"]
        assert [(one["labels"]["silence"], one["annotations"]["comment"]) for one in active] == [
            (silence_id, "at work")
        ]
        await at.command("silences", "edit", silence_id, "--for", "2h", "--by", "anna")
        found = await at.call("GET", f"/silences/{silence_id}")
        assert (found["created_by"], found["comment"], found["reminder"]["before"]) == ("anna", "at work", "1m")
        await eventually(lambda: len(at.chat.requests) == 2, 30, "that it does not")
        assert (await at.call("GET", "/alerts/active?rule_id=tocsin_silence_ending"))["total"] == 0
        assert silence_id in await at.command("silences", "calendar")
