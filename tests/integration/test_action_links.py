"""Links in messages, with real services: to look changes nothing, the button acts once, and only in time."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from tests.integration.routed import World, world

from tocsin.permits import PURPOSE, Permits, new_permit
from tocsin.testing import eventually
from tocsin.vault import load_or_create_key

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def links(at: World, message: int) -> dict[str, str]:
    """The paths of the actions in a message that the card's channel got, by label."""
    await eventually(lambda: len(at.chat.requests) > message, 40, f"the message; {at.log()}")
    card = json.loads(at.chat.requests[message][1])["attachments"][0]["content"]
    found = {one["title"]: one["url"] for one in card["actions"]}
    return {label: "/" + url.split("/", 3)[3] for label, url in found.items() if "/act/" in url}


class Reader:
    """Somebody who has a link, and no token."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def look(self, path: str, method: str = "GET") -> tuple[int, str]:
        async with self.session.request(method, path) as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
            return answer.status, await answer.text()

    async def press(self, path: str, **fields: str) -> tuple[int, str]:
        async with self.session.post(path, data={"by": "Ada", **fields}) as answer:
            title = re.findall(r"<h1>(.*)</h1>", await answer.text())
            return answer.status, title[0]


async def test_links_act_once_and_only_by_their_button(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at, aiohttp.ClientSession(at.url) as session:
        reader = Reader(session)
        card = {"id": "card", "type": "teams", "config": {"webhook_url": at.chat.url}}
        await at.call("POST", "/channels", card, 201)
        name = await at.trigger("<b>a1", notifications=["card"])
        acting = await links(at, 0)
        assert list(acting) == ["Acknowledge", "Silence"]

        before = await at.call("GET", f"/alerts/{name}")
        for path in acting.values():
            for method in ("GET", "HEAD", "GET"):
                status, page = await reader.look(path, method)
                assert status == 200
            assert "&lt;b&gt;a1" in page
            assert "<script" not in page
        assert (await at.call("GET", f"/alerts/{name}"))["timeline"] == before["timeline"]
        assert (await at.call("GET", "/silences"))["total"] == 0
        await _forged(reader, acting["Acknowledge"])

        pressed = await asyncio.gather(*(reader.press(acting["Acknowledge"], comment="on it") for _ in range(3)))
        assert (200, "Acknowledged") in pressed
        detail = await at.call("GET", f"/alerts/{name}")
        assert [event["type"] for event in detail["timeline"]] == ["firing", "acknowledged"]
        assert (detail["alert"]["actor"], detail["alert"]["comment"]) == ("Ada (link in card)", "on it")
        await at.call("POST", f"/alerts/{name}/unacknowledge", {})
        assert await reader.press(acting["Acknowledge"]) == (409, "Nothing was done")
        assert (await reader.look(acting["Acknowledge"]))[1].count("<form") == 0

        await _silenced(at, reader, acting["Silence"], name)
        await at.resolve(name)
        again = await at.trigger("<b>a1", notifications=["card"])
        assert again == name
        assert await reader.press(acting["Acknowledge"]) == (409, "Nothing was done"), "another episode"
        assert (await at.call("GET", f"/alerts/{name}"))["alert"]["status"] == "firing"
        found = (await at.call("GET", "/audit?action=POST%20/act/%7Btoken%7D"))["items"]
        assert [(one["actor"], one["target"]) for one in (found[0], found[-1])] == [
            ("Ada (link in card)", {"act": act, "alerts": name}) for act in ("silence", "acknowledge")
        ]
        token = acting["Acknowledge"].rpartition("/")[2]
        assert token not in at.log(), "who reads the log must not be able to act"


async def _silenced(at: World, reader: Reader, path: str, name: str) -> None:
    assert await reader.press(path, length="9y") == (400, "Nothing was done")
    pressed = await asyncio.gather(*(reader.press(path, length="1h") for _ in range(3)))
    assert sorted(pressed) == [(200, "Silenced"), (409, "Nothing was done"), (409, "Nothing was done")]
    (silence,) = (await at.call("GET", "/silences"))["items"]
    assert sorted(silence["match"]) == ['alertname="slow"', 'host="<b>a1"', 'team="ops"']
    assert (silence["created_by"], silence["ends_with_alert"]) == ("Ada (link in card)", True)
    for _ in range(2):  # ended, then removed
        await at.call("DELETE", f"/silences/{silence['id']}", wanted=204)
    assert await reader.press(path) == (409, "Nothing was done"), "the link stays used"
    assert (await at.call("GET", f"/alerts/{name}"))["alert"]["status"] == "firing"


async def _forged(reader: Reader, path: str) -> None:
    """Altered, too old, of another key, or sent in another way: nothing happens."""
    head, _, token = path.rpartition("/")
    assert (await reader.press(f"{head}/{token[:-2]}xx"))[0] == 410
    assert (await reader.press(f"{head}/x"))[0] == 410
    async with reader.session.post(path, json={"by": "Ada"}) as answer:
        assert answer.status == 400
    many = {f"field{number}": "x" for number in range(20)}
    assert await reader.press(path, **many) == (400, "Nothing was done")
    assert await reader.press(path, comment="x" * 10_000) == (400, "Nothing was done")
    async with reader.session.post(path, data=_in_pieces(b"by=" + b"x" * 10_000), headers=FORM) as answer:
        assert answer.status == 400
    for method in ("PUT", "DELETE", "PATCH"):
        async with reader.session.request(method, path) as answer:
            assert answer.status == 405


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def test_a_link_that_is_too_old_does_nothing(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at, aiohttp.ClientSession(at.url) as session:
        permits = Permits(load_or_create_key(tmp_path, None).derived(PURPOSE))
        old: Any = new_permit("acknowledge", (), 1_000, "card")
        status, page = await Reader(session).look(f"/act/{permits.token(old)}")
        assert (status, "too old" in page) == (410, True)
        assert await Reader(session).press(f"/act/{permits.token(old)}") == (410, "Nothing was done")
