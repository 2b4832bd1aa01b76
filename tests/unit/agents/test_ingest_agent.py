"""What ingest tells of its progress, and what it buries."""

from __future__ import annotations

from typing import Any

from faust.types import TP
from tests.unit.agents.app_double import App, batch
from tests.unit.agents.tables_double import Outbox

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
