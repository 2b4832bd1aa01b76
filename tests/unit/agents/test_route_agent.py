"""Route's agent: alerts through groups to notifications, and a crash between any two records that it writes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from faust.types import TP
from tests.routing.cases import make_event
from tests.unit.agents.app_double import App, Record
from tests.unit.agents.tables_double import Crash, Outbox, Table

from tocsin.agents.record_batches import RecordBatch
from tocsin.agents.route import Route
from tocsin.agents.routing import RoutingState
from tocsin.agents.run_table import RunTable
from tocsin.engine.route import group_record
from tocsin.engine.route import record as route_record
from tocsin.engine.route.group_record import Progress
from tocsin.engine.route.record import RouteRecord
from tocsin.engine.route.store import Index
from tocsin.schemas import codec
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode_document
from tocsin.schemas.grouping import RouteTick
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.mark import Passed
from tocsin.schemas.notification import Notification
from tocsin.schemas.route import Routing
from tocsin.schemas.topics import Topics
from tocsin.testing.alerts import firing_event

TOPICS = Topics()
ALERTS, GROUPS = TP(TOPICS.alerts, 0), TP(TOPICS.groups, 0)
ROUTES = {"route": {"channels": ["hook"], "group_by": ["team"], "group_wait": "10s", "group_interval": "10s"}}
BEGIN_MS = 1_767_225_600_000


class Worker:
    """A route worker over a log in memory. When it crashes, another one goes on from what it committed."""

    def __init__(self, routing: dict[str, Any] | None = ROUTES) -> None:
        self.outbox, self.logs = Outbox(), dict[TP, list[Record]]({ALERTS: [], GROUPS: []})
        self.state = RoutingState(1)
        self.state.read_channel(0, b"hook", encode_document(Channel(id="hook", type="webhook")), 0)
        self.committed = {ALERTS: 0, GROUPS: 0}
        self.seen = 0
        self.route_by(routing)
        self._start(Table())

    def route_by(self, routing: dict[str, Any] | None) -> None:
        value = encode_document(Routing.model_validate(routing)) if routing else None
        self.state.read_routing(1, b"routing", value, 0)

    def _start(self, table: Table) -> None:
        self.app = App()
        self.runs = RunTable(self.outbox, table)  # type: ignore[arg-type]
        self.route = Route(self.app, self.runs, TOPICS, self.state)  # type: ignore[arg-type]

    def write(self, tp: TP, value: bytes, at_s: int) -> None:
        self.logs[tp].append(Record(len(self.logs[tp]), value, b"k", BEGIN_MS + at_s * 1_000))

    async def run(self, at_s: int) -> None:
        """Take what is there, until there is no more; what is sent to groups comes back."""
        while True:
            self._carry(at_s)
            waiting = [tp for tp, log in self.logs.items() if self.committed[tp] < len(log)]
            if not waiting:
                return
            records = self.logs[waiting[0]][self.committed[waiting[0]] :]
            batch = RecordBatch(waiting[0].topic, 0, records[0].offset, records[-1].offset, records)
            try:
                await self.route.take(waiting[0], [batch])
            except Crash:
                self.outbox.until_crash = None
                self._start(self.outbox.recovered())
            else:
                self.committed |= self.app.committable.offsets

    def _carry(self, at_s: int) -> None:
        for topic, _, value in self.outbox.records[self.seen :]:
            if topic == TOPICS.groups:
                self.write(GROUPS, value or b"", at_s)
        self.seen = len(self.outbox.records)

    async def tick(self, at_s: int) -> None:
        if self.route.wants_tick(0):
            self.write(GROUPS, codec.encode(RouteTick(BEGIN_MS + at_s * 1_000)), at_s)
        await self.run(at_s)

    def told(self) -> list[tuple[str, int, str, tuple[str, ...]]]:
        """Every notification once, by its id."""
        found = dict[str, Any]()
        for topic, _, value in self.outbox.records:
            if topic == TOPICS.notifications("webhook"):
                one = codec.decode(Notification, value)
                at_s = (parse_instant(one.created_at) - BEGIN_MS) // 1_000
                alerts = one.group.alerts if one.group else (one.event,)
                line = one.id, at_s, one.group.reason if one.group else "", tuple(alert.id for alert in alerts)
                assert found.setdefault(one.id, line) == line, "the same id always says the same"
        return list(found.values())


async def play(worker: Worker, crash_after: int | None = None) -> list[Any]:
    """Two alerts of one group, one of them over in between, then both; the worker crashes after so many records."""
    events = {
        0: make_event("one", {"team": "ops"}, "firing", 0, sequence=1),
        3: make_event("two", {"team": "ops"}, "firing", 3, sequence=1),
        14: make_event("one", {"team": "ops"}, "resolved", 14, sequence=2, fired_s=0),
        26: make_event("two", {"team": "ops"}, "resolved", 26, sequence=2, fired_s=3),
    }
    worker.outbox.until_crash = crash_after
    for at_s in range(60):
        if at_s in events:
            worker.write(ALERTS, codec.encode(events[at_s]), at_s)
        await worker.run(at_s)
        await worker.tick(at_s)
    return worker.told()


async def test_a_crash_between_any_two_records_changes_nothing_that_is_said() -> None:
    worker = Worker()
    undisturbed = await play(worker)
    assert [(at_s, reason, len(alerts)) for _, at_s, reason, alerts in undisturbed] == [
        (10, "first", 2), (20, "some resolved", 2), (26, "all resolved", 1),
    ]  # fmt: skip
    written = len(worker.outbox.records) + len(worker.outbox.changes)
    assert written > 50
    for crash_after in range(written):
        assert await play(Worker(), crash_after) == undisturbed, f"crash after {crash_after} records"


async def test_nothing_is_left_of_groups_that_are_over_and_no_tick_is_written() -> None:
    worker = Worker()
    await play(worker)
    assert not worker.route.wants_tick(0)
    names = [name for name in worker.outbox.recovered().data.partitions[0] if b"group/" in name or b"alert/" in name]
    assert names == []


async def test_other_routes_move_alerts_that_are_active() -> None:
    worker = Worker(None)
    worker.write(ALERTS, codec.encode(make_event("one", {"team": "ops"}, "firing", 0, sequence=1)), 0)
    await worker.tick(0)
    assert worker.told() == []
    worker.route_by({"route": {"channels": ["hook"], "group_wait": "0s"}})
    await worker.tick(5)
    await worker.tick(6)
    worker.route_by({"route": {"channels": ["hook"], "group_wait": "0s", "group_by": ["team"]}})
    await worker.tick(7)
    await worker.tick(8)
    said = [(at_s, reason) for _, at_s, reason, _ in worker.told()]
    assert said == [(5, "first"), (7, "all resolved"), (7, "first")]


async def test_groups_that_others_made_meanwhile_are_looked_at_when_a_partition_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = Worker()
    mine = worker.app, worker.runs, worker.route

    async def rebalance() -> None:
        worker.runs.forget()
        worker.route.forget()

    event = codec.encode(make_event("one", {"team": "ops"}, "firing", 0, sequence=1))
    worker.write(ALERTS, event, 0)
    with monkeypatch.context() as patched:
        patched.setattr(worker.state, "catch_up", rebalance)
        await worker.route.take(ALERTS, [RecordBatch(ALERTS.topic, 0, 0, 0, worker.logs[ALERTS])])
    worker._start(worker.outbox.recovered())
    await worker.run(0)
    assert worker.told() == []

    worker.app, worker.runs, worker.route = mine
    worker.runs._table.data = worker.outbox.recovered().data
    await worker.tick(11)
    assert [(reason, len(alerts)) for _, _, reason, alerts in worker.told()] == [("first", 1)]


async def test_a_damaged_group_begins_anew() -> None:
    worker = Worker()
    worker.write(ALERTS, codec.encode(make_event("one", {"team": "ops"}, "firing", 0, sequence=1)), 0)
    await worker.tick(0)
    (group,) = [key for key in worker.runs.keys(0) if key.startswith("group/")]
    await worker.runs.finish(0, "damage", {group: b"\xc1"}, [])
    worker._start(worker.outbox.recovered())
    worker.write(ALERTS, codec.encode(make_event("two", {"team": "ops"}, "firing", 1, sequence=1)), 1)
    for at_s in range(1, 15):
        await worker.tick(at_s)
    assert [(at_s, len(alerts)) for _, at_s, _, alerts in worker.told()] == [(11, 1)]


@pytest.mark.parametrize("key", [b"routing", b"quiet"])
async def test_configuration_that_cannot_be_read_leaves_the_last_good_one(key: bytes) -> None:
    state = Worker().state
    tree = state.muting.tree
    silence = {"id": "quiet", "match": ["team=ops"], "starts_at": BEGIN_MS, "ends_at": BEGIN_MS + 1_000}
    state.read_silence(0, b"quiet", msgspec.json.encode(silence), 0)
    read = state.read_routing if key == b"routing" else state.read_silence
    read(5, key, b'{"broken"', 0)
    read(6, key, b'{"id": "else"}', 0)
    assert state.muting.tree is tree
    assert len(state.muting.silences) == 1
    read(7, key, None, 0)
    assert (state.muting.tree is None) == (key == b"routing")
    assert len(state.muting.silences) == (key == b"routing")


@pytest.mark.parametrize("restarts", [False, True])
async def test_what_a_channel_knew_when_it_was_switched_off_is_forgotten_by_whoever_goes_on(restarts: bool) -> None:
    worker = Worker()
    worker.write(ALERTS, codec.encode(make_event("one", {"team": "ops"}, "firing", 0, sequence=1)), 0)
    for at_s in range(25):
        await worker.tick(at_s)
        if at_s == 12:
            off = Channel(id="hook", type="webhook", config={"enabled": False})
            worker.state.read_channel(1, b"hook", encode_document(off), 0)
    if restarts:
        worker._start(worker.outbox.recovered())
    worker.state.read_channel(2, b"hook", encode_document(Channel(id="hook", type="webhook")), 0)
    for at_s in range(25, 32):
        await worker.tick(at_s)
    assert [(at_s, reason) for _, at_s, reason, _ in worker.told()] == [(10, "first"), (30, "first")]


async def test_the_watermark_that_something_waits_for_is_asked_for_once() -> None:
    worker = Worker({**ROUTES, "inhibit_rules": [{"source": ["alertname=down"], "target": ["alertname=slow"]}]})
    event = make_event("slow", {"team": "ops"}, "firing", 5, sequence=1, notifications=("hook",))
    worker.write(ALERTS, codec.encode(event), 5)
    await worker.run(5)
    found = []
    for at_s in (4, 5, 5, 6):
        worker.state.marks.put("evaluate/0", Passed(BEGIN_MS + at_s * 1_000, ()))
        found.append(worker.route.newly_reached(0))
    assert found == [False, True, False, True]
    worker.route.forget()
    assert not worker.route.newly_reached(0), "it is not ours"


def test_a_change_of_routes_asks_for_the_alerts_that_it_may_move_and_for_no_others() -> None:
    index = Index(pytest.fail)
    over, fires = (route_record.encode(RouteRecord("x", event=event)) for event in (None, firing_event()))
    index.put({"a": over, "b": fires, "group-progress": group_record.encode(Progress())})
    index.follow(1)
    assert index.left == ["b"]
    index.looked()
    index.follow(1)
    assert index.left == []
    index.put({"b": over})
    index.follow(2)
    assert index.left == []
