"""What ingest tells of its progress, and what it buries."""

from __future__ import annotations

from typing import Any

import pytest
from faust.types import TP
from tests.unit.agents.app_double import App, batch
from tests.unit.agents.tables_double import Crash, Outbox

from tocsin.agents.ingest import Ingest
from tocsin.engine import frame
from tocsin.engine.frame import Tick
from tocsin.testing import eventually

METRICS = TP("metrics", 0)
MESSAGE = b'{"name": "load", "value": 1}'


class OneSamplesPartition(Outbox):
    """An outbox that knows how many partitions there are."""

    async def partitions(self, _topic: str) -> int:
        return 1


async def ingesting() -> tuple[App, OneSamplesPartition, Ingest]:
    app, outbox = App(), OneSamplesPartition()
    ingest = Ingest(app, outbox, "samples", "dlq", 60_000)  # type: ignore[arg-type]
    await ingest.start()
    return app, outbox, ingest


async def lag(outbox: OneSamplesPartition, ingest: Ingest) -> int:
    await ingest.tick(0, ["metrics"])
    tick: Any = frame.decode(outbox.records[-1][2] or b"")
    assert isinstance(tick, Tick)
    return tick.sources[0].lag


async def test_the_marker_behind_a_transaction_is_no_lag() -> None:
    app, outbox, ingest = await ingesting()
    await ingest.take(METRICS, [batch(METRICS, 0, [MESSAGE])])
    app.reader.positions[METRICS] = app.reader.ends[METRICS] = 2  # a message and the marker that commits it

    async def caught_up() -> bool:
        return await lag(outbox, ingest) == 0

    await eventually(caught_up)


async def test_a_run_that_waits_or_is_in_hand_is_lag_though_kafka_counts_it_as_read() -> None:
    app, outbox, ingest = await ingesting()
    await ingest.take(METRICS, [batch(METRICS, 0, [MESSAGE])])
    app.reader.positions[METRICS] = app.reader.ends[METRICS] = 5
    app.committable.arrived([METRICS])
    assert {await lag(outbox, ingest) for _ in range(3)} == {4}
    app.committable.taken(METRICS)
    assert await lag(outbox, ingest) == 4, "a run may be on its way from the consumer's thread"


async def test_a_key_as_long_as_a_message_is_cut_in_its_dead_letter() -> None:
    _, outbox, ingest = await ingesting()
    await ingest.take(METRICS, [batch(METRICS, 0, [b"{"], [b"k" * 2**21])])
    ((topic, key, value),) = outbox.records
    assert (topic, key, value) == ("dlq", b"k" * 4_096, b"{")


async def test_what_was_fetched_together_is_sent_on_together_and_counts_as_read_only_then() -> None:
    app, outbox, ingest = await ingesting()
    other = TP("metrics", 1)
    app.committable.arrived([METRICS, other])
    app.committable.taken(METRICS)
    await ingest.take(METRICS, [batch(METRICS, 0, [MESSAGE])])
    await ingest.take(other, [batch(other, 0, [MESSAGE])])
    assert outbox.records == []
    app.committable.taken(other)
    await ingest.take(METRICS, [batch(METRICS, 1, [MESSAGE])])
    frames: list[Any] = [frame.decode(value or b"") for _, _, value in outbox.records]
    assert [(one.partition, one.base_offset) for one in frames] == [(0, 0), (1, 0), (0, 1)]
    assert app.committable.offsets == {METRICS: 2, other: 1}


async def test_what_waits_for_others_goes_on_with_the_next_tick_unless_its_partition_went_away() -> None:
    app, outbox, ingest = await ingesting()
    other = TP("metrics", 1)
    app.committable.arrived([METRICS, METRICS])
    await ingest.take(METRICS, [batch(METRICS, 0, [MESSAGE])])
    await ingest.take(other, [batch(other, 0, [MESSAGE])])
    ingest.forget({METRICS})
    await ingest.tick(0, ["metrics"])
    made: list[Any] = [frame.decode(value or b"") for _, _, value in outbox.records]
    assert [one.partition for one in made[:-1]] == [1]
    assert isinstance(made[-1], Tick)
    await ingest.tick(0, ["metrics"])
    assert app.committable.offsets == {other: 1}


async def test_nothing_is_committed_behind_what_could_not_be_sent() -> None:
    app, outbox, ingest = await ingesting()
    app.committable.arrived([METRICS])
    await ingest.take(METRICS, [batch(METRICS, 0, [MESSAGE])])
    outbox.until_crash = 0
    with pytest.raises(Crash):
        await ingest.tick(0, ["metrics"])
    outbox.until_crash = None
    app.committable.taken(METRICS)
    await ingest.take(METRICS, [batch(METRICS, 1, [MESSAGE])])
    frames: list[Any] = [frame.decode(value or b"") for _, _, value in outbox.records]
    assert [one.base_offset for one in frames] == [0, 1]
    assert app.committable.offsets == {METRICS: 2}
