"""Alerts that were over long ago leave nothing behind, all others everything, and what comes later begins anew."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from faust.types import TP
from tests.unit.agents.app_double import App, Record, Rules
from tests.unit.agents.tables_double import Crash, Outbox, Table

from tocsin.agents import forgetting
from tocsin.agents.forgetting import Forgetting
from tocsin.agents.lifecycle import Lifecycle
from tocsin.agents.record_batches import RecordBatch
from tocsin.agents.route import Route
from tocsin.agents.routing import RoutingState
from tocsin.agents.run_table import RunTable
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.lifecycle import record as lifecycle_record
from tocsin.engine.lifecycle.step import NumberedCommand, step
from tocsin.engine.route import store as route_store
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.command import Command, CommandType, Trigger
from tocsin.schemas.grouping import RouteTick
from tocsin.schemas.notification import Notification
from tocsin.schemas.topics import ALERTS_KEPT_MS, Topics

TOPICS = Topics()
COMMANDS, ALERTS = TP(TOPICS.commands, 0), TP(TOPICS.alerts, 0)
AT_MS = 1_700_000_000_000
LATER_MS = AT_MS + ALERTS_KEPT_MS + 60_000


def command(kind: CommandType, fingerprint: str, at_ms: int) -> bytes:
    trigger = Trigger("r", "r", notifications=("hook",)) if kind == "trigger" else None
    return codec.encode(Command(f"{kind}-{fingerprint}-{at_ms}", kind, fingerprint, "ann", at_ms, trigger=trigger))


class World:
    """Lifecycle and route on tables in memory, and what forgets for each."""

    def __init__(self) -> None:
        self.app, self.outbox, self.told = App(), Outbox(), Outbox()
        app: Any = self.app
        told: Any = self.told
        self.of_route = RunTable(told, Table())
        state = RoutingState(1)
        state.channels["hook"] = Channel(id="hook", type="webhook")
        self.route = Route(app, self.of_route, TOPICS, state)
        self._commands = 0
        self.start(Table())

    def start(self, table: Table) -> None:
        """A process that has lifecycle's table from here on."""
        app: Any = self.app
        outbox: Any = self.outbox
        self.of_lifecycle = RunTable(outbox, table)
        self.lifecycle = Lifecycle(app, self.of_lifecycle, TOPICS, RuleBook())
        heard, said = (TOPICS.commands,), (TOPICS.alerts,)
        self.forgetting = (
            Forgetting(app, self.of_lifecycle, heard, lifecycle_record.is_over, self.lifecycle.forgotten),
            Forgetting(app, self.of_route, said, route_store.is_over, gone=self.route.forgot),
        )

    async def say(self, *commands: bytes, at_ms: int) -> list[AlertEvent]:
        """Lifecycle takes commands, and route what comes of them; the events."""
        before = len(self._events())
        rules: Any = Rules()
        await self.lifecycle.take(COMMANDS, [self._batch(COMMANDS, self._commands, commands, at_ms)], rules)
        self._commands += len(commands)
        made = self._events()[before:]
        values = [codec.encode(event) for event in made]
        if values:
            await self.route.take(ALERTS, [self._batch(ALERTS, before, values, at_ms)])
        self.app.reader.commits |= self.app.committable.offsets
        return made

    def _batch(self, tp: TP, first: int, values: Any, at_ms: int) -> Any:
        records = [Record(first + at, value, b"k", at_ms) for at, value in enumerate(values)]
        return RecordBatch(tp.topic, tp.partition, first, records[-1].offset, records)

    def _events(self) -> list[AlertEvent]:
        return [codec.decode(AlertEvent, value) for name, _, value in self.outbox.records if name == TOPICS.alerts]

    async def forget(self, now_ms: int) -> list[int]:
        return [await one.sweep(0, now_ms) for one in self.forgetting]

    def kept(self) -> list[set[str]]:
        return [set(table.keys(0)) for table in (self.of_lifecycle, self.of_route)]

    def states(self) -> list[tuple[str, bool]]:
        """What stands on `alert-state` in the end, by fingerprint."""
        last = {key.decode(): value for name, key, value in self.outbox.records if name == TOPICS.alert_state and key}
        return [(name, value is not None) for name, value in last.items()]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "_REST_S", 0.0)
    monkeypatch.setattr(forgetting, "_POLL_S", 0.0)


async def test_only_what_was_over_long_ago_is_forgotten() -> None:
    world = World()
    await world.say(*(command("trigger", name, AT_MS) for name in "abcd"), at_ms=AT_MS)
    await world.say(command("resolve", "a", AT_MS + 1), command("acknowledge", "d", AT_MS + 1), at_ms=AT_MS + 1)
    await world.say(command("resolve", "b", LATER_MS - 60_000), at_ms=LATER_MS - 60_000)
    assert await world.forget(AT_MS + ALERTS_KEPT_MS) == [0, 0]
    assert await world.forget(LATER_MS) == [1, 1]
    assert world.kept() == [{"b", "c", "d"}, {"b", "c", "d"}]
    assert world.states() == [("a", False), ("b", True), ("c", True), ("d", True)]
    (again,) = await world.say(command("trigger", "a", LATER_MS), at_ms=LATER_MS)
    assert (again.type, again.sequence) == ("firing", 1)
    told = [codec.decode(Notification, value) for name, _, value in world.told.records if "notifications" in name]
    assert [(one.event.fingerprint, one.event.type) for one in told] == [
        *((name, "firing") for name in "abcd"), ("a", "resolved"), ("b", "resolved"), ("a", "firing"),
    ]  # fmt: skip


def test_what_ended_by_itself_is_kept_from_then_on() -> None:
    raised = Command("c", "trigger", "a", "ann", AT_MS, trigger=Trigger("r", "r"), until_ms=LATER_MS)
    fires = step([NumberedCommand(0, raised)], lambda _: None, lambda *_: None).records["a"]
    ended = step([RouteTick(LATER_MS)], {"a": fires}.get, lambda *_: None, lambda _: ["a"]).records["a"]
    assert ended.status == "resolved"
    assert [ended.is_over_since(LATER_MS + later_ms) for later_ms in (-1, 0, 1)] == [False, False, True]


async def test_what_is_not_committed_or_heard_of_meanwhile_is_kept() -> None:
    world = World()
    await world.say(command("trigger", "a", AT_MS), command("resolve", "a", AT_MS + 1), at_ms=AT_MS)
    await world.say(command("trigger", "b", AT_MS), command("resolve", "b", AT_MS + 1), at_ms=AT_MS)
    committed, world.app.reader.commits = world.app.reader.commits, {}
    sweep = asyncio.create_task(world.forgetting[0].sweep(0, LATER_MS))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not sweep.done(), "an input that is in a record may still come again"
    await world.say(command("trigger", "b", LATER_MS), at_ms=LATER_MS)
    world.app.reader.commits |= committed
    assert await sweep == 1
    assert world.kept()[0] == {"b"}


@pytest.mark.parametrize("after", range(12))
async def test_a_crash_while_it_forgets_leaves_nothing_half_done(after: int) -> None:
    world = World()
    both = *(command("trigger", name, AT_MS) for name in "ab"), *(command("resolve", name, AT_MS + 1) for name in "ab")
    await world.say(*both, at_ms=AT_MS)
    world.outbox.until_crash = after
    with suppress(Crash):
        await world.forgetting[0].sweep(0, LATER_MS)
    world.outbox.until_crash = None
    world.start(world.outbox.recovered())
    await world.say(command("resolve", "c", LATER_MS), at_ms=LATER_MS)
    await world.forgetting[0].sweep(0, LATER_MS)
    assert world.kept()[0] == {"c"}
    assert sorted(world.states()) == [("a", False), ("b", False), ("c", False)]


async def test_nothing_is_done_to_a_table_that_is_still_read_back() -> None:
    world = World()
    await world.say(command("trigger", "a", AT_MS), command("resolve", "a", AT_MS + 1), at_ms=AT_MS)
    written, said = len(world.outbox.changes), len(world.outbox.records)
    del world.outbox.changes[-1]  # that the journal was carried out
    world.start(world.outbox.recovered())
    assert await world.forgetting[0].sweep(0, LATER_MS) == 0
    assert (len(world.outbox.changes), len(world.outbox.records)) == (written - 1, said)


async def test_nothing_is_forgotten_of_partitions_that_went_away() -> None:
    world = World()
    await world.say(command("trigger", "a", AT_MS), command("resolve", "a", AT_MS + 1), at_ms=AT_MS)
    world.app.reader.held = False
    assert await world.forget(LATER_MS) == [0, 0]
    assert world.kept()[0] == {"a"}
