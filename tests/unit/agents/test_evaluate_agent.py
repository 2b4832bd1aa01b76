"""What evaluate saves, and under which rules it judges, whatever happens around it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from faust.types import TP
from structlog.testing import capture_logs
from tests.unit.agents.app_double import App, Rules, batch
from tests.unit.agents.tables_double import Crash, Outbox, Table

from tocsin.agents.columnar import Columnar
from tocsin.agents.evaluate import EvaluateStage
from tocsin.engine import frame
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.pipeline import Pipeline, Shape
from tocsin.engine.watermark import Timing
from tocsin.schemas.codec import encode_document
from tocsin.schemas.rule import Rule
from tocsin.schemas.topics import Topics

SAMPLES = TP("samples", 0)
BEGIN_MS = 1_700_000_000_000
RULE = Rule(id="r", metric_type="m", threshold=1)


def log() -> list[bytes]:
    """What ingest writes of a series that fires at 1, 3, 5 ..."""
    pipeline = Pipeline([RULE], shape=Shape())
    pipeline.run(BEGIN_MS)
    for second in range(1, 9):
        at_ms = BEGIN_MS + second * 1_000
        body = {"name": "m", "value": 9 if second % 2 else 0, "timestamp": at_ms, "labels": {"a": "1"}}
        pipeline.publish(json.dumps(body).encode(), at_ms)
        pipeline.run(at_ms)
    return [record.value or b"" for record in pipeline.log.read("samples", 0)]


class World:
    """One evaluate agent on a table in memory, which takes record by record and saves after each."""

    def __init__(self, outbox: Outbox | None = None, table: Table | None = None) -> None:
        self.app, self.outbox, self.table = App(), outbox or Outbox(), table or Table()
        book = RuleBook()
        book.append(0, b"r", encode_document(RULE))
        stage = EvaluateStage(Topics(""), 1, Timing(), 1_000)
        arguments: Any = (self.app, self.outbox, self.table, {}, stage, book, 0.0)
        self.evaluate = Columnar(*arguments)

    async def take(self, first: int, *values: bytes) -> None:
        await self.evaluate.take(SAMPLES, [batch(SAMPLES, first, list(values))], Rules(1))  # type: ignore[arg-type]

    async def take_all(self, values: list[bytes], begin: int = 0) -> None:
        for offset, value in enumerate(values[begin:], begin):
            await self.take(offset, value)

    @property
    def signals(self) -> list[bytes | None]:
        return [value for topic, _, value in self.outbox.records if topic == "signals"]

    @property
    def committed(self) -> int | None:
        return self.app.committable.offsets.get(SAMPLES)


async def calm() -> list[bytes | None]:
    world = World()
    await world.take_all(log())
    assert len(world.signals) == 8
    return world.signals


@pytest.mark.parametrize("crash_after", range(34))
async def test_a_run_that_failed_is_neither_saved_nor_committed_at_the_stop_that_follows(crash_after: int) -> None:
    wanted = await calm()
    values = log()
    world = World()
    world.outbox.until_crash = crash_after
    with pytest.raises(Crash):
        await world.take_all(values)
    committed = world.committed
    world.outbox.until_crash = None
    await world.evaluate.save_all()
    assert world.committed == committed
    again = World(world.outbox, world.outbox.recovered())
    await again.take_all(values, committed or 0)
    assert list(dict.fromkeys(again.signals)) == wanted


async def test_frames_before_any_tick_are_judged_by_the_rules_that_the_first_tick_names() -> None:
    values = log()
    first_frame = next(at for at, value in enumerate(values) if isinstance(frame.decode(value), frame.Frame))
    world = World()
    for offset, value in enumerate(values[first_frame:]):
        await world.take(offset, value)
        assert isinstance(frame.decode(value), frame.Tick) or offset or world.committed is None
    assert world.signals == await calm()


async def test_a_worker_that_the_group_gave_up_overwrites_no_checkpoint() -> None:
    values = log()
    world = World()
    await world.take_all(values[:6])
    before, committed = dict(world.table.data.partitions[0]), world.committed
    world.app.reader.group_generation += 1  # it was paused, and others went on
    await world.take_all(values, 6)
    await world.evaluate.save_all()
    assert (world.table.data.partitions[0], world.committed) == (before, committed)


@pytest.mark.parametrize("stopped_after", range(1, 40))
async def test_what_a_worker_writes_late_that_stood_still_changes_no_checkpoint(stopped_after: int) -> None:
    """It stops before any one record, and writes on when two others have gone on with its partition."""
    wanted, values = await calm(), log()
    paused = World()
    paused.app.reader.group_generation = 1

    async def others() -> None:
        for generation, end in ((2, 8), (3, len(values))):
            world = World(paused.outbox, paused.outbox.recovered())
            world.app.reader.group_generation = generation
            await world.take_all(values[:end], paused.committed or 0)

    paused.outbox.until_stop, paused.outbox.while_stopped = stopped_after, others
    await paused.take_all(values[:6])
    with capture_logs() as logs:
        last = World(paused.outbox, paused.outbox.recovered())
        last.app.reader.group_generation = 4
        await last.take_all(values, paused.committed or 0)
        await last.evaluate.save_all()
    assert list(dict.fromkeys(last.signals)) == wanted
    assert not [one for one in logs if "damaged" in one["event"]]


async def test_an_owner_leaves_nothing_of_those_before_it() -> None:
    values = log()
    world = World()
    await world.take_all(values)
    again = World(world.outbox, world.outbox.recovered())
    again.app.reader.group_generation = 2
    await again.take_all(values)
    for generation in (3, 4):
        more = World(again.outbox, again.outbox.recovered())
        more.app.reader.group_generation = generation
        await more.take_all(values, len(values) - 1)
        await more.evaluate.save_all()
    assert len(more.table.data.partitions[0]) <= len(world.table.data.partitions[0]) + 1


async def test_a_checkpoint_stays_within_what_a_broker_takes() -> None:
    world = World()
    pipeline = Pipeline(
        [Rule.model_validate({"id": "r", "metric_type": "m", "threshold": 100, "allowed_lateness": "1m"})]
    )
    pipeline.run(BEGIN_MS)
    for series in range(3_000):
        for second in range(10):
            body = {"name": "m", "value": series / 7, "timestamp": BEGIN_MS + second, "labels": {"s": str(series)}}
            pipeline.publish(json.dumps(body).encode(), BEGIN_MS)
    pipeline.run(BEGIN_MS + 1_000)
    rule = encode_document(next(iter(pipeline._states[0].plan.versions.values())).rule)
    world.evaluate.book = RuleBook()
    world.evaluate.book.append(0, b"r", rule)
    for offset, record in enumerate(pipeline.log.read("samples", 0)):
        await world.take(offset, record.value or b"")
    assert world.committed is not None
    assert world.outbox.largest < 2**20
