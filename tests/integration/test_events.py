"""Alert events as they happen, over HTTP: live, resumed, and for those who do not read them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiokafka import AIOKafkaProducer

from tocsin.api import events, feed
from tocsin.api.app import make_app
from tocsin.api.state import Api
from tocsin.kafka.clients import producer_arguments, started
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import encode
from tocsin.testing.alerts import firing_event, resolved_event

PATH = "/api/v1/events"


class Stream:
    """What one client reads."""

    def __init__(self, answered: aiohttp.ClientResponse) -> None:
        self._answered = answered
        self.last_id = ""

    async def next(self) -> dict[str, str]:
        """The fields of the next message, beats of the heart left out."""
        found: dict[str, str] = {}
        while True:
            line = (await asyncio.wait_for(self._answered.content.readline(), 20)).decode()
            assert line, "the stream ended"
            if line == "\n" and found:
                self.last_id = found.get("id", self.last_id)
                return found
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                found[name] = value


@asynccontextmanager
async def listening(session: aiohttp.ClientSession, query: str = "", last_id: str = "") -> AsyncIterator[Stream]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with session.get(PATH + query, headers=headers) as answered:
        assert answered.status == 200, await answered.text()
        assert answered.content_type == "text/event-stream"
        made = Stream(answered)
        assert "retry" in await made.next()
        yield made


def firing(host: str) -> AlertEvent:
    return firing_event(1, f"9f2c00000000{ord(host[0]):04x}", labels={"host": host})


def resolved(host: str) -> AlertEvent:
    return resolved_event(2, f"9f2c00000000{ord(host[0]):04x}", labels={"host": host})


def label(message: dict[str, str]) -> tuple[str, str]:
    return message["event"], json.loads(message["data"])["labels"]["host"]


async def test_events_come_as_they_happen_and_none_is_lost_by_coming_back(
    served: tuple[Api, aiohttp.ClientSession],
) -> None:
    api, session = served
    producer = AIOKafkaProducer(**producer_arguments(api.context.connection))

    async def say(event: Any) -> None:
        await producer.send_and_wait(api.context.topics.alerts, encode(event), key=event.fingerprint.encode())

    async with started(producer, api.context.connection.bootstrap_servers):
        await say(firing("before"))
        async with listening(session) as first, listening(session, "?type=resolved") as other:
            await say(firing("a"))
            assert label(await first.next()) == ("firing", "a")
            await say(resolved("a"))
            assert label(await first.next()) == ("resolved", "a")
            assert label(await other.next()) == ("resolved", "a")
            place = first.last_id
        for host in ("b", "c", "d"):
            await say(firing(host))
        async with listening(session, last_id=place) as again:
            found = [label(await again.next()) for _ in range(3)]
            assert sorted(found) == [("firing", "b"), ("firing", "c"), ("firing", "d")]
            await say(firing("e"))
            assert label(await again.next()) == ("firing", "e")
            place = again.last_id
        for last_id in (place, "0.900,1.900"):  # what came last, and what is of another topic of this name
            async with listening(session, last_id=last_id) as quiet:
                await say(firing("f"))
                assert label(await quiet.next()) == ("firing", "f")
    async with session.get(PATH, headers={"Last-Event-ID": "yesterday"}) as refused:
        assert (refused.status, "Last-Event-ID" in await refused.text()) == (400, True)


async def test_who_wants_few_events_knows_how_far_they_are(
    served: tuple[Api, aiohttp.ClientSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, session = served
    monkeypatch.setattr(events, "_ALIVE_S", 0.2)
    monkeypatch.setattr(events, "_MOST_PASSED", 2)
    producer = AIOKafkaProducer(**producer_arguments(api.context.connection))
    async with started(producer, api.context.connection.bootstrap_servers):
        async with listening(session, "?type=resolved") as beating:
            await producer.send_and_wait(api.context.topics.alerts, encode(firing("a")), partition=0)
            while beating.last_id != "0.1,1.0":
                await beating.next()
        for _ in range(3):
            await producer.send_and_wait(api.context.topics.alerts, encode(firing("b")), partition=0)
        monkeypatch.setattr(events, "_ALIVE_S", 15.0)
        async with listening(session, "?type=resolved", "0.1,1.0") as missing:
            assert await missing.next() == {"id": "0.3,1.0"}


async def test_who_does_not_read_is_left_behind_and_told_so() -> None:
    listener = feed.Listener({0: 0}, asyncio.Queue(3))
    for offset in range(5):
        listener.hear(feed.Told.of(firing_event(), 0, offset))
    assert (listener.is_over, listener.queue.qsize()) == (True, 3)


async def test_no_more_listen_than_can_though_all_come_at_once(
    served: tuple[Api, aiohttp.ClientSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, session = served
    monkeypatch.setattr(feed, "MOST_LISTENERS", 3)
    async with AsyncExitStack() as stack:
        answers = await asyncio.gather(*(stack.enter_async_context(session.get(PATH)) for _ in range(8)))
        assert sorted(answer.status for answer in answers) == [200] * 3 + [503] * 5


async def test_when_the_api_stops_streams_end_as_they_should(served: tuple[Api, aiohttp.ClientSession]) -> None:
    api, session = served
    runner = web.AppRunner(make_app(api), shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"
    async with aiohttp.ClientSession(headers=session.headers) as other, other.get(address) as answered:
        await answered.content.readline()
        await runner.cleanup()
        assert (await answered.content.read()).endswith(b"\n\n"), "whole, and not cut off"


async def test_so_many_are_told_what_they_missed_at_a_time(served: tuple[Api, aiohttp.ClientSession]) -> None:
    api, _ = served
    producer = AIOKafkaProducer(**producer_arguments(api.context.connection))
    async with started(producer, api.context.connection.bootstrap_servers):
        for host in "abc":
            await producer.send_and_wait(api.context.topics.alerts, encode(firing(host)), partition=0)
    followed, now, most = feed.Feed(api.context), 0, 0

    async def missed() -> list[int]:
        nonlocal now, most
        async with followed.replay({0: 1, 1: 0}, {0: 3, 1: 0}) as told:
            now += 1
            most = max(most, now)
            found = [one.offset async for one in told]
            now -= 1
        return found

    assert await asyncio.gather(*(missed() for _ in range(3 * feed.MOST_REPLAYS))) == [[1, 2]] * 3 * feed.MOST_REPLAYS
    assert most <= feed.MOST_REPLAYS
