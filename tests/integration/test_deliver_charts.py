"""Charts in messages: samples from the log of a real Kafka, a picture for each channel that can show one, and none
where there is no time for it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from aiokafka import AIOKafkaProducer

from tocsin.deliver import pictures
from tocsin.deliver.drawing import Drawing, Undrawable
from tocsin.deliver.history import History, Wanted
from tocsin.deliver.pictures import Pictures, wanted_of
from tocsin.engine.frame import Floats, Ints, encode
from tocsin.engine.ingest.framing import pack
from tocsin.engine.ingest.interning import Interner
from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.schemas.instant import format_instant
from tocsin.schemas.topics import Topics
from tocsin.testing.alerts import Addressee, firing_event, resolved_event
from tocsin.testing.delivering import delivering
from tocsin.testing.providers import Discord, Slack, Telegram
from tocsin.testing.receivers import MailReceiver

UPDATED_MS = time.time_ns() // 1_000_000  # the topic keeps a day
UPDATED_AT = format_instant(UPDATED_MS)
PNG = b"\x89PNG"
LABELS = {"service": "api", "host": "a1"}


class Log:
    """Writes frames to `samples`, a record batch for each, as ingest does."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer, self._topic = producer, topic
        self._interner = Interner(2)
        self._count = 0

    async def write(self, at_ms: int, name: str, values: dict[str, float]) -> None:
        """A sample for each spelling of labels (JSON)."""
        numbers = [self._interner.number(name, labels.encode(), "ms") for labels in values]
        frames = pack(
            self._interner,
            ("metrics", 0),
            at_ms,
            np.array(numbers, np.int64),
            np.full(len(numbers), at_ms, np.int64),
            np.array(list(values.values()), np.float64),
            np.full(len(numbers), self._count, np.int64),
        )
        self._count += 1
        for partition, frame in frames.items():
            await self._producer.send(self._topic, encode(frame), partition=partition, timestamp_ms=at_ms)
            await self._producer.flush()


def wanted(**labels: str) -> Wanted:
    return Wanted("response_time", labels or LABELS, UPDATED_MS - 100_000, UPDATED_MS)


async def test_the_log_gives_the_samples_of_an_alert(kafka: str, topics: Topics) -> None:
    connection = KafkaConnection(kafka)
    whole, other, far = (json.dumps(labels) for labels in (LABELS, {**LABELS, "host": "b2"}, {"service": "api"}))
    async with started(AIOKafkaProducer(**producer_arguments(connection)), kafka) as producer:
        log = Log(producer, topics.samples)
        await log.write(UPDATED_MS - 900_000, "response_time", {whole: -1.0})  # long before
        for second in range(90, -1, -10):
            then_ms = UPDATED_MS - second * 1_000
            await log.write(then_ms, "response_time", {whole: float(second), other: 1_000.0 + second, far: 5.0})
            await log.write(then_ms, "other", {whole: 7.0})
        for partition in (0, 1):
            await producer.send_and_wait(topics.samples, b"no frame", partition=partition, timestamp_ms=UPDATED_MS)
        async with History(connection, topics.samples) as history:
            at_ms, values, series = await history.read(wanted())
            assert (values.tolist(), series) == ([float(second) for second in range(90, -1, -10)], 1)
            assert at_ms.tolist() == [UPDATED_MS - second * 1_000 for second in range(90, -1, -10)]
            assert (await history.read(wanted(service="api")))[1].tolist() == [5.0] * 10  # all of its labels
            _, values, series = await history.read(wanted(host="b2"))  # a group: some of its labels
            assert (len(values), series) == (20, 2)
            assert (await history.read(wanted(service="none")))[2] == 0
            begun = format_instant(UPDATED_MS - 60_000)
            event = firing_event(starts_at=begun, fired_at=UPDATED_AT, updated_at=UPDATED_AT)
            async with Drawing() as drawing:
                picture = await Pictures(history.read, drawing).of(Addressee("ops", "email").notification(event))
            assert picture is not None
            assert picture.startswith(PNG)


async def test_of_a_long_log_some_pieces_are_read(kafka: str, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.deliver.history._FETCHES", 10)
    monkeypatch.setattr("tocsin.deliver.history._BATCHES", 5)
    monkeypatch.setattr("tocsin.deliver.history._END", 5)
    connection = KafkaConnection(kafka)
    async with started(AIOKafkaProducer(**producer_arguments(connection)), kafka) as producer:
        log = Log(producer, topics.samples)
        for number in range(400):
            then_ms = UPDATED_MS - 100_000 + number * 250
            await log.write(then_ms, "response_time", {json.dumps(LABELS): float(number)})
        async with History(connection, topics.samples) as history:
            at_ms, values, _ = await history.read(wanted())
    assert 10 <= len(values) <= 110
    assert values.tolist() == sorted(values.tolist())
    assert at_ms[0] < UPDATED_MS - 90_000
    assert at_ms[-1] == UPDATED_MS - 250


async def some(_wanted: Wanted) -> tuple[Ints, Floats, int]:
    return np.array([UPDATED_MS - 60_000, UPDATED_MS], np.int64), np.array([900.0, 1234.5]), 1


async def hanging(_wanted: Wanted) -> tuple[Ints, Floats, int]:
    await asyncio.Event().wait()
    raise AssertionError("nothing sets it")


async def failing(_wanted: Wanted) -> tuple[Ints, Floats, int]:
    raise ValueError("a picture that cannot be drawn")


def channels(mail: MailReceiver, slack: Slack, discord: Discord, telegram: Telegram) -> dict[str, tuple[str, Any]]:
    address = {"from_address": "a@example.com", "to_addresses": "b@example.com", "smtp_host": "127.0.0.1"}
    return {
        "email": ("email", {**address, "smtp_port": mail.port, "start_tls": False}),
        "slack": ("slack", {"bot_token": slack.token, "channel": slack.channel, "api_url": f"{slack.url}/api"}),
        "discord": ("discord", {"webhook_url": f"{discord.url}/api/webhooks/1/token"}),
        "telegram": ("telegram", {"bot_token": telegram.token, "chat_id": telegram.chat_id, "url": telegram.url}),
    }


async def pictured(read: Any, events: Sequence[Any], *, test: bool = False) -> dict[str, list[bytes]]:
    """The pictures that each channel got; every message comes, with one or without."""
    async with (
        MailReceiver().listening() as mail,
        Slack().listening() as slack,
        Discord().listening() as discord,
        Telegram().listening() as telegram,
        delivering(channels(mail, slack, discord, telegram), samples=read) as deliverer,
    ):
        for event in events:
            await deliverer.tell(*(Addressee(kind, kind).notification(event, test=test) for kind in deliverer_kinds()))
            written = await deliverer.settled()
        complaints = [*slack.complaints, *discord.complaints, *telegram.complaints]
        assert complaints == []
        assert all(written.outcomes(kind) == ["delivered"] * len(events) for kind in deliverer_kinds())
        found = {"slack": slack.pictures, "discord": discord.pictures, "telegram": telegram.pictures}
        return {**found, "email": [picture for one in mail.mails for picture in _inline(one)]}


def deliverer_kinds() -> tuple[str, ...]:
    return ("email", "slack", "discord", "telegram")


def _inline(mail: Any) -> list[bytes]:
    """The pictures that the page shows by their ids."""
    page = mail.get_body(("html",)).get_content()
    parts = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert all(f'src="cid:{part["Content-ID"].strip("<>")}"' in page for part in parts)
    assert ("cid:" in page) == bool(parts)
    return [part.get_content() for part in parts]


async def test_each_channel_shows_the_chart_its_way() -> None:
    found = await pictured(some, [firing_event(), resolved_event()])
    # Slack's message is edited, and keeps its picture.
    assert {kind: len(each) for kind, each in found.items()} == {"email": 2, "slack": 1, "discord": 2, "telegram": 2}
    assert all(picture.startswith(PNG) for each in found.values() for picture in each)


async def test_a_test_of_a_channel_has_a_chart_too() -> None:
    bare = firing_event(evidence=None, value=1.0, threshold=0.0)
    found = await pictured(failing, [bare], test=True)
    assert all(len(each) == 1 for each in found.values())


@pytest.mark.parametrize("read", [hanging, failing])
async def test_a_message_goes_without_its_chart(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_WITHIN_S", 0.05)
    found = await pictured(read, [firing_event()])
    assert not any(found.values())


async def test_while_others_wait_none_is_made_and_one_that_was_made_is_used_again() -> None:
    asked: list[Wanted] = []
    go = asyncio.Event()

    async def slow(what: Wanted) -> tuple[Ints, Floats, int]:
        asked.append(what)
        await go.wait()
        return await some(what)

    drawing = Drawing()
    kept = Pictures(slow, drawing)
    told = [Addressee("ops", "email").notification(firing_event(number)) for number in range(8)]
    waiting = [asyncio.create_task(kept.of(one)) for one in told]
    done, _ = await asyncio.wait(waiting, timeout=None, return_when=asyncio.FIRST_COMPLETED)
    assert all(task.result() is None for task in done)
    go.set()
    made = [task.result() for task in waiting if await task]
    assert 1 <= len(made) <= 4
    before = len(asked)
    assert await kept.of(told[0]) == made[0]
    assert len(asked) == before
    await drawing.__aexit__(None, None, None)
    assert wanted_of(told[0].event).metric == "response_time"


async def test_a_picture_that_cannot_be_drawn_harms_no_later_one() -> None:
    async with Drawing() as drawing:
        with pytest.raises(Undrawable):
            await drawing.png("no picture")
        svg = '<svg xmlns="http://www.w3.org/2000/svg" width="2" height="2"/>'
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await drawing.png(svg)
        assert (await drawing.png(svg)).startswith(PNG)
