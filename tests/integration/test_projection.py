"""The projection against a real Kafka: it follows, goes on after failures and restarts, and can be made anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from sqlalchemy import text
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from tocsin.kafka.clients import KafkaConnection, consumer_arguments, producer_arguments, started
from tocsin.projection.apply import Change, apply
from tocsin.projection.database import Database, DatabaseError, opened
from tocsin.projection.projector import Projector
from tocsin.projection.queries import (
    AlertFilter,
    BadCursor,
    Page,
    active_alerts,
    alert_history,
    one_document,
    timeline,
)
from tocsin.schemas.codec import encode
from tocsin.schemas.topics import Topics, topic_specs
from tocsin.testing import create_topics, eventually
from tocsin.testing.alerts import firing_event, resolved_event

HISTORY_MS = 10 * 365 * 86_400_000
FINGERPRINTS = [f"9f2c00000000000{number}" for number in range(5)]


class World:
    """A projection that follows the topics of one test."""

    def __init__(self, database: Database, projector: Projector) -> None:
        self.database = database
        self.projector = projector

    async def active(self) -> list[str]:
        found = await active_alerts(self.database, AlertFilter(), Page())
        return sorted(item["fingerprint"] for item in found.items)

    async def events(self) -> int:
        return (await alert_history(self.database, AlertFilter(), Page(1))).total


@asynccontextmanager
async def following(kafka: str, topics: Topics, directory: Path) -> AsyncIterator[World]:
    async with opened(None, directory) as database:
        projector = Projector(database, consumer_arguments(KafkaConnection(kafka)), topics, HISTORY_MS)
        async with started(projector, kafka):
            task = asyncio.create_task(projector.run())
            try:
                await asyncio.wait_for(projector.caught_up.wait(), 20)
                yield World(database, projector)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def producer(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    async with started(AIOKafkaProducer(**producer_arguments(KafkaConnection(kafka))), kafka) as found:
        yield found


async def fire(producer: AIOKafkaProducer, topics: Topics, fingerprint: str) -> None:
    event = firing_event(1, fingerprint)
    await producer.send_and_wait(topics.alerts, encode(event), key=fingerprint.encode())
    await producer.send_and_wait(topics.alert_state, encode(event), key=fingerprint.encode())


async def end(producer: AIOKafkaProducer, topics: Topics, fingerprint: str) -> None:
    event = resolved_event(2, fingerprint)
    await producer.send_and_wait(topics.alerts, encode(event), key=fingerprint.encode())
    await producer.send_and_wait(topics.alert_state, encode(event), key=fingerprint.encode())


async def test_it_follows_goes_on_and_is_made_anew(
    kafka: str, topics: Topics, producer: AIOKafkaProducer, tmp_path: Path
) -> None:
    for fingerprint in FINGERPRINTS:
        await fire(producer, topics, fingerprint)
    async with following(kafka, topics, tmp_path) as world:
        assert await world.active() == FINGERPRINTS
        await end(producer, topics, FINGERPRINTS[0])
        await becomes(world.active, FINGERPRINTS[1:])
        await becomes(world.events, 6)
        types = [event["type"] for event in await timeline(world.database, FINGERPRINTS[0])]
        assert types == ["firing", "resolved"]
    await producer.send_and_wait(topics.alert_state, None, key=FINGERPRINTS[1].encode())
    async with following(kafka, topics, tmp_path) as world:
        assert await world.active() == FINGERPRINTS[2:]
    for name in ("projection.sqlite3", "projection.sqlite3-wal", "projection.sqlite3-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    async with following(kafka, topics, tmp_path) as world:
        assert await world.active() == FINGERPRINTS[2:]
        assert await world.events() == 6


async def test_a_failed_transaction_is_tried_again(
    kafka: str, topics: Topics, producer: AIOKafkaProducer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([True, True])

    async def failing(*arguments: object) -> None:
        if next(failures, False):
            raise OperationalError("INSERT", {}, Exception("the disk is full"))
        await apply(*arguments)  # type: ignore[arg-type]

    async with following(kafka, topics, tmp_path) as world:
        monkeypatch.setattr("tocsin.projection.projector.apply", failing)
        await fire(producer, topics, FINGERPRINTS[0])
        await eventually(lambda: world.projector.problem)
        await becomes(world.active, FINGERPRINTS[:1])
        await eventually(lambda: not world.projector.problem)


async def test_a_bad_record_is_counted_and_what_follows_is_read(
    kafka: str, topics: Topics, producer: AIOKafkaProducer, tmp_path: Path
) -> None:
    bad = encode(firing_event(1, FINGERPRINTS[0], updated_at="yesterday"))
    await producer.send_and_wait(topics.alerts, bad, key=FINGERPRINTS[0].encode())
    await producer.send_and_wait(topics.alert_state, b"nonsense", key=FINGERPRINTS[0].encode())
    await producer.send_and_wait(topics.dlq, b"x", headers=[("partition", "²".encode())])
    rule = {"id": "slow", "metric_type": "response_time", "threshold": 1}
    await producer.send_and_wait(topics.rules, orjson.dumps(rule), key=b"slow")
    await producer.send_and_wait(topics.rules, b"garbage", key=b"slow")
    await fire(producer, topics, FINGERPRINTS[0])
    async with following(kafka, topics, tmp_path) as world:
        assert (await world.active(), await world.events()) == (FINGERPRINTS[:1], 1)
        assert world.projector.passed_over == {topics.alerts: 1, topics.alert_state: 1, topics.rules: 1}
        kept = await one_document(world.database, "rules", "slow")
        assert kept is not None
        assert (kept.revision, kept.body) == (0, rule)


async def test_a_value_that_only_the_database_refuses_is_passed_over_alone(
    kafka: str, topics: Topics, producer: AIOKafkaProducer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def picky(connection: AsyncConnection, changes: Sequence[Change]) -> None:
        await apply(connection, changes)
        if any(FINGERPRINTS[0] in str(row) for _, _, row in changes):
            raise DataError("INSERT", {}, Exception("value too long"))

    monkeypatch.setattr("tocsin.projection.projector.apply", picky)
    for fingerprint in FINGERPRINTS[:3]:
        await fire(producer, topics, fingerprint)
    async with following(kafka, topics, tmp_path) as world:
        assert await world.active() == FINGERPRINTS[1:3]
        assert world.projector.passed_over == {topics.alerts: 1, topics.alert_state: 1}
        assert not world.projector.problem


async def test_it_knows_whether_it_has_all_that_was_written(
    kafka: str, topics: Topics, producer: AIOKafkaProducer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("the disk is full"))

    async with following(kafka, topics, tmp_path) as world:
        assert await world.projector.in_step(topics.rules, 10)
        with monkeypatch.context() as broken:
            broken.setattr("tocsin.projection.projector.apply", failing)
            await producer.send_and_wait(topics.rules, None, key=b"slow")
            assert not await world.projector.in_step(topics.rules, 0.2)
        assert await world.projector.in_step(topics.rules, 20)


async def test_the_end_of_a_transaction_is_behind_it_too(kafka: str, topics: Topics, tmp_path: Path) -> None:
    arguments = {**producer_arguments(KafkaConnection(kafka)), "transactional_id": topics.prefix}
    async with started(AIOKafkaProducer(**arguments), kafka) as producer:
        async with producer.transaction():
            await producer.send_and_wait(topics.rules, None, key=b"slow")
        async with following(kafka, topics, tmp_path) as world:
            assert await world.projector.in_step(topics.rules, 20)
            async with producer.transaction():
                await producer.send_and_wait(topics.rules, None, key=b"slow")
            assert await world.projector.in_step(topics.rules, 20)


async def test_a_database_that_is_ahead_of_kafka_is_of_another_cluster(
    kafka: str, topics: Topics, producer: AIOKafkaProducer, tmp_path: Path
) -> None:
    for _ in range(3):
        await fire(producer, topics, FINGERPRINTS[0])
    async with following(kafka, topics, tmp_path) as world:
        assert await world.active() == FINGERPRINTS[:1]
    other = Topics("other-" + topics.prefix)
    await create_topics(kafka, topic_specs(other.prefix, 2))
    async with opened(None, tmp_path) as database, database.writing() as connection:
        await connection.execute(
            text("UPDATE tocsin_position SET topic = replace(topic, :a, :b)"), {"a": topics.prefix, "b": other.prefix}
        )
    async with following(kafka, other, tmp_path) as world:
        assert await world.active() == []
        assert await world.events() == 0


async def test_pages_and_filters(kafka: str, topics: Topics, producer: AIOKafkaProducer, tmp_path: Path) -> None:
    for number, fingerprint in enumerate(FINGERPRINTS):
        labels = {"service": "api", "percent": "5%_", "n": str(number)}
        event = firing_event(1, fingerprint, labels=labels)
        await producer.send_and_wait(topics.alert_state, encode(event), key=fingerprint.encode())
    async with following(kafka, topics, tmp_path) as world:

        async def find(page: Page, **labels: str) -> tuple[list[str], str | None, int]:
            found = await active_alerts(world.database, AlertFilter(labels=labels), page)
            return [item["fingerprint"] for item in found.items], found.next_cursor, found.total

        first, cursor, total = await find(Page(2))
        second, cursor_2, _ = await find(Page(2, cursor))
        third, cursor_3, _ = await find(Page(2, cursor_2))
        assert total == 5
        assert [*first, *second, *third] == FINGERPRINTS[::-1]
        assert cursor_3 is None
        assert (await find(Page(10), n="3"))[0] == [FINGERPRINTS[3]]
        assert (await find(Page(10), percent="5%_"))[2] == 5
        assert (await find(Page(10), percent="5%x"))[2] == 0
        assert (await active_alerts(world.database, AlertFilter(text="SERVICE=API"), Page())).total == 5
        with pytest.raises(BadCursor):
            await find(Page(2, "nonsense"))


async def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    async with opened(None, tmp_path) as database, database.writing() as connection:
        await connection.execute(text("UPDATE tocsin_meta SET value = '999'"))
    with pytest.raises(DatabaseError, match="newer tocsin"):
        async with opened(None, tmp_path):
            pass


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "postgresql://127.0.0.1:1/none"])
async def test_a_database_that_is_not_there_is_said_in_one_line(url: str, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError) as refused:
        async with opened(url, tmp_path):
            pass
    assert str(refused.value).startswith("database.url: ")
    assert "\n" not in str(refused.value)


async def becomes(found: Callable[[], Awaitable[object]], wanted: object) -> None:
    async def is_so() -> bool:
        return await found() == wanted

    await eventually(is_so, 20)
