"""People, schedules and escalation policies over HTTP: each names only what is there, and who is on call when."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import aiohttp
import icalendar
import orjson
import pytest
from sqlalchemy import insert

from tocsin.api.state import Api
from tocsin.projection import tables
from tocsin.testing import collect, eventually

ANNA: dict[str, Any] = {"id": "anna", "name": "Anna", "contacts": ["hook"]}
BEN: dict[str, Any] = {"id": "ben", "contacts": [{"channel": "webhook", "min_severity": "critical"}]}
PRIMARY: dict[str, Any] = {
    "id": "primary",
    "time_zone": "Europe/Berlin",
    "layers": [{"people": ["anna", "ben"], "rotation": "weekly", "starts": "2026-01-05", "handover": "09:00"}],
}
POLICY: dict[str, Any] = {
    "id": "page",
    "steps": [{"notify": [{"schedule": "primary"}]}, {"wait": "10m", "notify": ["hook", {"person": "ben"}]}],
}
KINDS = (("people", ANNA), ("people", BEN), ("schedules", PRIMARY), ("escalations", POLICY))


class Client:
    def __init__(self, api: Api, session: aiohttp.ClientSession) -> None:
        self.api = api
        self._session = session

    async def call(self, method: str, path: str, body: Any = None, wanted: int = 200, **headers: str) -> Any:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(method, f"/api/v1{path}", json=body, headers=given) as answer:
            content = await answer.read()
            assert answer.status == wanted, f"{method} {path}: {answer.status} {content.decode()}"
            if answer.status >= 400:
                assert answer.content_type == "application/problem+json"
            return orjson.loads(content) if content and "json" in answer.content_type else content

    async def refused(self, method: str, path: str, body: Any = None, wanted: int = 422, **headers: str) -> str:
        return str((await self.call(method, path, body, wanted, **headers))["detail"])

    async def set_up(self) -> None:
        hook = {"id": "hook", "type": "webhook", "config": {"url": "https://hooks.example.test/a"}}
        await self.call("POST", "/channels", hook, 201)
        for kind, document in KINDS:
            await self.call("POST", f"/{kind}", document, 201)


@pytest.fixture
async def client(served: tuple[Api, aiohttp.ClientSession]) -> Client:
    made = Client(*served)
    await made.set_up()
    return made


async def test_entries_are_read_as_they_were_written_changed_by_their_tag_and_paged(client: Client) -> None:
    for kind, document in KINDS:
        found = await client.call("GET", f"/{kind}/{document['id']}")
        assert document.items() <= {**found, **{name: document[name] for name in ("layers", "steps", "contacts")
                                                if name in document}}.items()  # fmt: skip
        tag = f'"{found["revision"]}"'
        assert await client.call("PUT", f"/{kind}/{document['id']}", {**found, "name": "Another"}, If_Match=tag)
        await client.refused("PUT", f"/{kind}/{document['id']}", found, 412, If_Match=tag)
        await client.refused("DELETE", f"/{kind}/{document['id']}", None, 412, If_Match=tag)
        assert "already" in await client.refused("POST", f"/{kind}", document, 409)
        assert "use one" in await client.refused("PUT", f"/{kind}/other", document)
        await client.refused("GET", f"/{kind}/nothing", None, 404)
    page = await client.call("GET", "/people?limit=1")
    assert (page["total"], [one["id"] for one in page["items"]]) == (2, ["anna"])
    rest = await client.call("GET", f"/people?limit=1&cursor={page['next_cursor']}")
    assert ([one["id"] for one in rest["items"]], rest["next_cursor"]) == (["ben"], None)


async def test_some_fields_are_changed_and_the_others_stay(client: Client) -> None:
    for kind, document in KINDS:
        path = f"/{kind}/{document['id']}"
        before = await client.call("GET", path)
        after = await client.call("PATCH", path, {"name": "Another"}, If_Match=f'"{before["revision"]}"')
        added = ("name", "revision", "updated_at")
        assert after["name"] == "Another"
        assert {**after, **{name: before[name] for name in added}} == before
        await client.refused("PATCH", path, {"name": "Third"}, 412, If_Match=f'"{before["revision"]}"')
        assert (await client.call("PATCH", path, {"name": None}))["name"] == ""
        assert "cannot be changed" in await client.refused("PATCH", path, {"id": "other"})
        assert "nmae" in await client.refused("PATCH", path, {"nmae": "x"})
        await client.refused("PATCH", f"/{kind}/nothing", {"name": "x"}, 404)
    assert "nobody" in await client.refused(
        "PATCH", "/escalations/page", {"steps": [{"notify": [{"person": "nobody"}]}]}
    )


async def test_what_names_nothing_is_refused_with_its_field_and_mend(client: Client) -> None:
    for kind, document, said in (
        (
            "people", {**ANNA, "contacts": ["hok"]},
            "contacts.0: there is no channel 'hok' in force; did you mean 'hook'?",
        ),
        ("people", {"id": "x", "contacts": []}, "contacts: has too few entries; add some"),
        (
            "schedules",
            {**PRIMARY, "layers": [{**PRIMARY["layers"][0], "people": ["anna", "bne"]}]},
            "layers.0.people.1: there is no person 'bne' in force; did you mean 'ben'?",
        ),
        (
            "schedules", {**PRIMARY, "time_zone": "Berlin"},
            "time_zone: 'Berlin' is not a time zone; write an IANA name such as Europe/Berlin",
        ),
        (
            "escalations",
            {**POLICY, "steps": [{"notify": [{"schedule": "secondary"}]}]},
            "steps.0.notify.0.schedule: there is no schedule 'secondary' in force; add it, or name another",
        ),
        (
            "escalations", {**POLICY, "next_policy": "pages"},
            "next_policy: there is no escalation policy 'pages' in force; did you mean 'page'?",
        ),
        (
            "escalations", {**POLICY, "steps": [{"notify": [{"schedule": "primary", "person": "ben"}]}]},
            "steps.0.notify.0: must name one of channel, schedule and person; such as {schedule: primary}",
        ),
    ):  # fmt: skip
        assert await client.refused("PUT", f"/{kind}/{document['id']}", document) == said


async def test_policies_do_not_lead_back_to_themselves(client: Client) -> None:
    await client.call("PUT", "/escalations/back", {**POLICY, "id": "back", "next_policy": "page"}, 201)
    said = await client.refused("PUT", "/escalations/page", {**POLICY, "next_policy": "back"})
    assert said.startswith("next_policy: leads back, from 'page' to 'back' to 'page', without end; ")


async def test_what_is_in_use_is_not_deleted(client: Client) -> None:
    rule = {"id": "slow", "metric_type": "x", "threshold": 1, "escalation_policy": "pages"}
    doubt = {
        "field": "escalation_policy",
        "message": "there is no escalation policy 'pages' yet; add it, or name another",
    }
    assert (await client.call("POST", "/rules", rule, 201))["warnings"] == [doubt]
    assert "warnings" not in await client.call("PATCH", "/rules/slow", {"escalation_policy": "page"})
    await client.call(
        "POST", "/rules", {"id": "told", "metric_type": "x", "threshold": 1, "notifications": ["hook"]}, 201
    )
    await client.call("PUT", "/routes", {"route": {"channels": ["email"], "routes": [{"channels": ["hook"]}]}}, 201)
    others = "rule 'told', route.routes.0"
    for path, said in (
        ("/people/anna", "person 'anna' is named by schedule 'primary'"),
        ("/schedules/primary", "schedule 'primary' is named by escalation policy 'page'"),
        ("/escalations/page", "escalation policy 'page' is named by rule 'slow'"),
    ):
        assert await client.refused("DELETE", path, None, 409) == f"{said}; take it out there first"
    said = f"channel 'hook' is named by person 'anna', escalation policy 'page', {others}; take it out there first"
    assert await client.refused("DELETE", "/channels/hook", None, 409) == said
    said = "channel 'hook' is named by person 'anna', escalation policy 'page'; take it out there first"
    assert await client.refused("DELETE", "/channels/hook?force=true", None, 409) == said
    for path in ("/rules/slow", "/escalations/page", "/schedules/primary", "/people/anna"):
        await client.call("DELETE", path, wanted=204)
    of_another_version = {"kind": "silences", "id": "newer", "revision": 1, "updated_ms": 1, "body": "{}"}
    async with client.api.database.writing() as connection:
        await connection.execute(insert(tables.document).values(of_another_version))
    said = f"channel 'hook' is named by {others}; take it out there first, or say force=true"
    assert await client.refused("DELETE", "/channels/hook?force=false", None, 409) == said
    await client.call("DELETE", "/channels/hook?force=true", wanted=204)
    assert (await client.call("GET", "/schedules"))["items"] == []


async def test_who_is_on_call_and_who_stands_in(client: Client) -> None:
    # The day of the change of clocks; Ben's turn ends the next morning at seven by UTC.
    at = "2026-03-29T12:00:00Z"
    (now,) = (await client.call("GET", f"/oncall?at={at}&schedule=primary"))["items"]
    assert (now["person"], now["since"], now["until"], now["next"], now["source"]) == (
        "ben", "2026-03-23T08:00:00.000Z", "2026-03-30T07:00:00.000Z", "anna", "layer 1",
    )  # fmt: skip
    override = {"person": "anna", "starts_at": "2100-01-01T00:00:00Z", "ends_at": "2100-01-01T06:00:00Z", "id": "swap"}
    assert (
        "anna" in (await client.call("POST", "/schedules/primary/overrides", override, 201))["overrides"][0]["person"]
    )
    (then,) = (await client.call("GET", "/oncall?at=2100-01-01T05:59:59Z"))["items"]
    assert (then["person"], then["name"], then["source"], then["contacts"]) == ("anna", "Anna", "swap", ["hook"])
    for begin in ({"starts_at": 0}, {}):
        body = {"person": "ben", "ends_at": at, **begin}
        assert "is past" in await client.refused("POST", "/schedules/primary/overrides", body)
    assert "no person" in await client.refused(
        "POST", "/schedules/primary/overrides", {**override, "id": "x", "person": "cleo"}
    )
    assert "twice" in await client.refused("POST", "/schedules/primary/overrides", override)
    await client.call("DELETE", "/schedules/primary/overrides/swap", wanted=204)
    await client.refused("DELETE", "/schedules/primary/overrides/swap", None, 404)
    await client.refused("GET", "/oncall?schedule=nothing", None, 404)
    alone = {**PRIMARY, "id": "alone", "layers": [{**PRIMARY["layers"][0], "people": ["anna"]}]}
    await client.call("POST", "/schedules", alone, 201)
    (now,) = (await client.call("GET", f"/oncall?at={at}&schedule=alone"))["items"]
    assert (now["person"], now["until"], now["next"]) == ("anna", None, None)
    own = {**override, "starts_at": "2099-12-31T00:00:00Z"}
    await client.call("POST", "/schedules/alone/overrides", own, 201)
    (now,) = (await client.call("GET", "/oncall?at=2100-01-01T05:00:00Z&schedule=alone"))["items"]
    assert (now["source"], now["until"], now["next"]) == ("swap", None, None)
    assert "year 9000" in await client.refused("GET", "/oncall?at=9999-01-01T00:00:00Z", None, 400)


async def test_a_preview_shows_each_layer_and_what_comes_of_them(client: Client) -> None:
    office = {"people": ["anna"], "starts": "2026-01-01", "name": "office",
              "hours": [{"times": [{"start_time": "10:00", "end_time": "12:00"}]}]}  # fmt: skip
    schedule = {**PRIMARY, "id": "new", "layers": [*PRIMARY["layers"], office]}
    query = "from=2026-01-13T00:00:00Z&to=2026-01-14T00:00:00Z"
    found = await client.call("POST", f"/schedules/preview?{query}", schedule)
    assert [(one["person"], one["starts_at"][11:16], one["source"]) for one in found["final"]] == [
        ("ben", "00:00", "layer 1"), ("anna", "09:00", "office"), ("ben", "11:00", "layer 1"),
    ]  # fmt: skip
    assert [layer["name"] for layer in found["layers"]] == ["layer 1", "office"]
    assert [one["person"] for one in found["layers"][1]["shifts"]] == [None, "anna", None]
    assert len((await client.call("GET", f"/schedules/primary/shifts?{query}"))["final"]) == 1
    await client.refused("GET", "/schedules/new/shifts", None, 404)
    assert "after from" in await client.refused("GET", "/schedules/primary/shifts?to=1", None, 400)
    assert "366 days" in await client.refused(
        "GET", "/schedules/primary/shifts?from=0&to=2000-01-01T00:00:00Z", None, 400
    )
    hourly = {**schedule, "layers": [{**PRIMARY["layers"][0], "rotation": "1h"}]}
    wide = "/schedules/preview?from=2026-01-13T00:00:00Z&to=2027-01-13T00:00:00Z"
    assert "handovers" in await client.refused("POST", wide, hourly, 400)


def read(text: bytes) -> list[Any]:
    calendar: Any = icalendar.Calendar.from_ical(text)
    return list(calendar.walk("VEVENT"))


async def test_shifts_are_calendars_that_calendars_read(client: Client) -> None:
    query = "from=2026-01-05T08:00:00Z&to=2026-02-02T08:00:00Z"
    found = read(await client.call("GET", f"/schedules/primary/calendar.ics?{query}"))
    events = [(str(one["summary"]), one["dtstart"].dt, one["dtend"].dt) for one in found]
    assert [name for name, _, _ in events] == ["Anna on call: primary", "ben on call: primary"] * 2
    assert all(before[2] == after[1] for before, after in pairwise(events))
    own = read(await client.call("GET", f"/people/ben/calendar.ics?{query}"))
    assert [str(one["summary"]) for one in own] == ["ben on call: primary"] * 2
    ids = {str(one["uid"]) for one in found}
    assert len(ids) == 4
    assert {str(one["uid"]) for one in own} < ids
    await client.refused("GET", "/schedules/primary/calendar.ics?person=cleo", None, 404)


async def test_garbage_over_a_schedule_is_a_dead_letter_and_the_schedule_is_written_again(client: Client) -> None:
    topic, servers = client.api.context.topics.escalations, client.api.context.connection.bootstrap_servers
    await client.api.producer.send_and_wait(topic, b"garbage", key=b"schedule/primary")

    async def is_mended() -> bool:
        values = [record.value for record in await collect(servers, topic) if record.key == b"schedule/primary"]
        return len(values) == 3 and orjson.loads(values[2]) == orjson.loads(values[0])

    await eventually(is_mended, 20, "the last good schedule")
    assert (await client.call("GET", "/schedules/primary"))["time_zone"] == "Europe/Berlin"
    (letter,) = (await client.call("GET", "/dlq"))["items"]
    assert (letter["key"], letter["topic"]) == ("schedule/primary", topic)
