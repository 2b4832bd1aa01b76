"""What lifecycle and route do with what cannot be used: an input is one dead letter, an entry begins anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from faust.types import TP
from tests.unit.agents.app_double import App, Record, Rules, batch
from tests.unit.agents.tables_double import Outbox, Table

from tocsin.agents.lifecycle import Lifecycle
from tocsin.agents.record_batches import RecordBatch
from tocsin.agents.route import Route
from tocsin.agents.routing import RoutingState
from tocsin.agents.run_table import RunTable
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.lifecycle import step, transitions
from tocsin.engine.lifecycle.record import AlertRecord
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.command import Command, Trigger
from tocsin.schemas.grouping import RouteTick
from tocsin.schemas.instant import format_instant
from tocsin.schemas.topics import CHANNEL_TYPES, Topics

TOPICS = Topics()
COMMANDS, ALERTS = TP(TOPICS.commands, 0), TP(TOPICS.alerts, 0)
AT_MS = 1_700_000_000_000


def trigger(fingerprint: str, at_ms: int = AT_MS) -> bytes:
    return codec.encode(
        Command(
            f"trigger-{fingerprint}",
            "trigger",
            fingerprint,
            "ann",
            at_ms,
            trigger=Trigger("r", "r", notifications=("hook",)),
        )
    )


def acknowledge(fingerprint: str, at_ms: int) -> bytes:
    return codec.encode(Command(f"ack-{fingerprint}-{at_ms}", "acknowledge", fingerprint, "ann", at_ms))


class World:
    """One lifecycle and one route agent on tables in memory."""

    def __init__(self) -> None:
        self.app, self.outbox, self.table = App(), Outbox(), Table()
        self.runs = RunTable(self.outbox, self.table)  # type: ignore[arg-type]
        self.lifecycle = Lifecycle(self.app, self.runs, TOPICS, RuleBook())  # type: ignore[arg-type]
        self.state = RoutingState(1)
        self.route = Route(self.app, self.runs, TOPICS, self.state)  # type: ignore[arg-type]

    async def command(self, first: int, *values: bytes, keys: list[bytes] | None = None) -> None:
        run = [batch(COMMANDS, first, list(values), keys)]
        await self.lifecycle.take(COMMANDS, run, Rules())  # type: ignore[arg-type]

    def sent(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        return [(key, value) for name, key, value in self.outbox.records if name == topic]

    @property
    def events(self) -> list[AlertEvent]:
        return [codec.decode(AlertEvent, value) for _, value in self.sent(TOPICS.alerts)]


@pytest.mark.parametrize("at_ms", [10**18, 10**30])
async def test_a_command_that_cannot_be_applied_is_one_dead_letter_and_its_neighbours_are_applied(at_ms: int) -> None:
    world = World()
    poison = acknowledge("a", AT_MS).replace(str(AT_MS).encode(), str(at_ms).encode())
    await world.command(0, trigger("a"), poison, trigger("b"), acknowledge("a", AT_MS + 1))
    assert [(event.fingerprint, event.type) for event in world.events] == [
        ("a", "firing"), ("b", "firing"), ("a", "acknowledged"),
    ]  # fmt: skip
    assert world.events[-1].acknowledged is not None
    assert [value for _, value in world.sent(TOPICS.dlq)] == [poison]
    assert world.app.committable.offsets[COMMANDS] == 4


async def test_an_alert_that_is_too_large_to_be_sent_is_one_dead_letter() -> None:
    world = World()
    large = Trigger("r", "r", description="x" * 2**20)
    await world.command(0, codec.encode(Command("i", "trigger", "a", "ann", AT_MS, trigger=large)), trigger("b"))
    assert [event.fingerprint for event in world.events] == ["b"]
    assert len(world.sent(TOPICS.dlq)) == 1


async def test_a_key_as_long_as_a_message_is_cut_in_its_dead_letter() -> None:
    world = World()
    await world.command(0, b"not a command", keys=[b"k" * 2**21])
    ((key, value),) = world.sent(TOPICS.dlq)
    assert (key, value) == (b"k" * 4_096, b"not a command")


async def test_a_damaged_record_of_an_alert_begins_anew() -> None:
    world = World()
    await world.command(0, trigger("a"), trigger("b"))
    await world.runs.finish(0, "damage", {"a": b"\xc1 no record"}, [])
    await world.command(2, trigger("a"), acknowledge("b", AT_MS + 1))
    assert [(event.fingerprint, event.type) for event in world.events[2:]] == [("a", "firing"), ("b", "acknowledged")]
    assert world.sent(TOPICS.dlq) == []


async def test_a_snooze_ends_in_a_worker_that_was_not_there_when_it_began() -> None:
    world = World()
    snooze = Command("s", "snooze", "a", "ann", AT_MS + 1, until_ms=AT_MS + 5_000)
    await world.command(0, trigger("a"), codec.encode(snooze))
    assert world.lifecycle.wants_tick(0)
    world.lifecycle = Lifecycle(world.app, world.runs, TOPICS, RuleBook())  # type: ignore[arg-type]
    ticks = [codec.encode(RouteTick(AT_MS + after_ms)) for after_ms in (4_999, 5_700, 9_000)]
    run = RecordBatch(COMMANDS.topic, 0, 2, 4, [Record(2 + at, tick) for at, tick in enumerate(ticks)])
    await world.lifecycle.take(COMMANDS, [run], Rules())  # type: ignore[arg-type]
    assert [event.type for event in world.events] == ["firing", "acknowledged", "unacknowledged"]
    assert world.events[-1].updated_at == format_instant(AT_MS + 5_000)
    assert not world.lifecycle.wants_tick(0)
    assert world.sent(TOPICS.dlq) == []


async def test_a_timer_that_cannot_be_applied_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    world, due = World(), transitions.on_time

    def on_time(record: AlertRecord, now_ms: int) -> Iterator[AlertEvent]:
        yield from due(record, now_ms)
        if record.fingerprint == "a" and now_ms > AT_MS + 1:
            raise ValueError("this one")

    monkeypatch.setattr(step, "on_time", on_time)
    snoozes = [codec.encode(Command(name, "snooze", name, "ann", AT_MS + 1, until_ms=AT_MS + 5_000)) for name in "ab"]
    await world.command(0, trigger("a"), trigger("b"), *snoozes)
    tick = Record(4, codec.encode(RouteTick(AT_MS + 9_000)))
    await world.lifecycle.take(COMMANDS, [RecordBatch(COMMANDS.topic, 0, 4, 4, [tick])], Rules())  # type: ignore[arg-type]
    assert [(one.fingerprint, one.type) for one in world.events[4:]] == [("b", "unacknowledged")]
    assert world.sent(TOPICS.dlq) == []
    assert world.lifecycle.wants_tick(0), "the first is tried again"


async def test_a_worker_that_the_group_gave_up_writes_nothing() -> None:
    world = World()
    world.app.reader.held = False
    await world.command(0, trigger("a"))
    assert (world.outbox.records, world.outbox.changes, world.app.committable.offsets) == ([], [], {})


async def test_a_channel_of_a_type_that_nothing_delivers_is_unroutable() -> None:
    world = World()
    world.state.channels["hook"] = Channel(id="hook", type="pager")
    await world.command(0, trigger("a"))
    ((_, event),) = world.sent(TOPICS.alerts)
    run = [batch(ALERTS, 0, [event])]
    await world.route.take(ALERTS, run)
    assert not [name for name, _, _ in world.outbox.records if "notifications" in name]
    ((_, delivery),) = world.sent(TOPICS.deliveries)
    told: Any = msgspec.json.decode(delivery or b"")
    assert (told["outcome"], told["channel_id"]) == ("unroutable", "hook")
    assert told["detail"] == (
        f"nothing delivers to channels of type 'pager'; the types are {', '.join(sorted(CHANNEL_TYPES))}"
    )


async def test_a_damaged_record_of_what_was_told_begins_anew() -> None:
    world = World()
    world.state.channels["hook"] = Channel(id="hook", type="webhook")
    await world.command(0, trigger("a"))
    ((_, event),) = world.sent(TOPICS.alerts)
    await world.runs.finish(0, "damage", {"a": b"\xc1"}, [])
    await world.route.take(ALERTS, [batch(ALERTS, 0, [event])])
    assert len(world.sent(TOPICS.notifications("webhook"))) == 1
