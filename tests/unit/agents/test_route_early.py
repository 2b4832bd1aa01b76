"""Critical alerts are routed before their turn, and told once; what fails among many spoils nothing else."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.routing.cases import make_event
from tests.unit.agents.test_route_agent import ALERTS, GROUPS, TOPICS, Worker

from tocsin.agents import route
from tocsin.agents.record_batches import RecordBatch
from tocsin.agents.run_table import EarlierRunFailed
from tocsin.engine.route import groups
from tocsin.engine.route.direct import Direct
from tocsin.engine.route.flush import Flush
from tocsin.engine.route.record import RouteRecord
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.grouping import Join
from tocsin.testing import eventually

AT_ONCE = {"route": {"channels": ["hook"], "group_by": ["..."], "group_wait": "0s"}}


def critical(sequence: int, kind: str = "firing", name: str = "disk") -> AlertEvent:
    return make_event(name, {"host": "a"}, kind, sequence, severity="critical", sequence=sequence, fired_s=1)


def of_alert(worker: Worker, event: AlertEvent) -> list[tuple[str, ...]]:
    return [alerts for _, _, _, alerts in worker.told() if event.id in alerts]


async def test_an_alert_that_was_routed_before_its_turn_is_not_routed_again_in_it() -> None:
    worker, event = Worker(AT_ONCE), critical(1)
    worker.write(ALERTS, codec.encode(event), 1)
    await worker.route.take_early(0, [event])
    assert sum(topic == TOPICS.groups for topic, _, _ in worker.outbox.records) == 1
    assert worker.app.committable.offsets == {}
    await worker.run(2)
    assert of_alert(worker, event) == [(event.id,)]
    assert sum(topic == TOPICS.groups for topic, _, _ in worker.outbox.records) == 1
    assert worker.committed[ALERTS] == 1


async def test_an_alert_of_which_something_earlier_waits_is_left_to_its_turn() -> None:
    worker = Worker(AT_ONCE)
    first, second = critical(1), critical(2, "changed")
    for event in (first, second):
        worker.write(ALERTS, codec.encode(event), event.sequence)
    await worker.route.take_early(0, [second])
    assert worker.outbox.records == []
    await worker.route.take_early(0, [first, second])
    await worker.run(3)
    joined = [codec.decode_group_input(value) for topic, _, value in worker.outbox.records if topic == TOPICS.groups]
    assert [one.event.id for one in joined if isinstance(one, Join)] == [first.id, second.id]


async def test_a_partition_that_is_no_longer_ours_routes_nothing_before_its_turn() -> None:
    worker = Worker(AT_ONCE)
    worker.app.reader.held = False
    await worker.route.take_early(0, [critical(1)])
    assert (worker.outbox.records, worker.outbox.changes) == ([], [])


async def test_an_input_that_a_group_cannot_take_is_one_dead_letter_and_others_join(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = Worker()
    events = [make_event(f"rule{n}", {"team": "ops"}, "firing", 0, sequence=1) for n in range(9)]
    for event in events:
        worker.write(ALERTS, codec.encode(event), 0)
    take = groups._Run.join

    def join(run: groups._Run, item: Join, now_ms: int) -> None:
        take(run, item, now_ms)
        if item.event.rule_id == "rule5":
            raise ValueError("this one")

    monkeypatch.setattr(groups._Run, "join", join)
    await worker.run(0)
    for at_s in range(1, 12):
        await worker.tick(at_s)
    (dead,) = [value for topic, _, value in worker.outbox.records if topic == TOPICS.dlq]
    assert b"rule5" in (dead or b"")
    ((_, _, _, alerts),) = worker.told()
    assert sorted(alerts) == sorted(event.id for event in events if event.rule_id != "rule5")
    assert worker.committed[GROUPS] == len(worker.logs[GROUPS])


async def test_after_a_run_that_failed_no_other_is_taken() -> None:
    worker = Worker()
    with pytest.raises(ZeroDivisionError):
        async with worker.runs.turn(0):
            raise ZeroDivisionError
    worker.write(ALERTS, codec.encode(critical(1)), 1)
    with pytest.raises(EarlierRunFailed):
        await worker.run(1)
    worker.runs.forget()
    await worker.run(1)
    assert worker.committed[ALERTS] == 1


async def test_what_is_too_large_to_be_sent_is_left_to_its_turn_and_is_in_no_journal() -> None:
    worker = Worker(AT_ONCE)
    event = msgspec.structs.replace(critical(1), annotations={"summary": "x" * 999_900})
    worker.write(ALERTS, codec.encode(event), 1)
    await worker.route.take_early(0, [event])
    assert (worker.outbox.records, worker.committed[ALERTS]) == ([], 0)
    await worker.run(1)
    assert [topic for topic, _, _ in worker.outbox.records] == [TOPICS.dlq]
    assert worker.committed[ALERTS] == 1


async def test_only_so_many_wait_to_be_routed_before_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "_MOST_EARLY", 2)
    worker, events = Worker(AT_ONCE), [critical(1, name=name) for name in ("one", "two", "three")]
    async with worker.runs.turn(0):
        waiting = [asyncio.create_task(worker.route.take_early(0, [event])) for event in events]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*waiting)
    assert sum(topic == TOPICS.groups for topic, _, _ in worker.outbox.records) == 2
    await worker.route.take_early(0, [events[2]])
    assert sum(topic == TOPICS.groups for topic, _, _ in worker.outbox.records) == 3


async def test_runs_of_one_partition_that_make_way_wait_together_and_not_one_after_the_other() -> None:
    worker, gate, here = Worker(AT_ONCE), asyncio.Event(), list[float]()

    async def make_way(since_s: float) -> None:
        here.append(since_s)
        await gate.wait()

    worker.route._make_way = make_way
    runs = [RecordBatch(ALERTS.topic, 0, first, first + 999, []) for first in (0, 1_000, 2_000)]
    taken = [asyncio.create_task(worker.route.take(ALERTS, [run])) for run in runs]
    await eventually(lambda: here)
    opened_s = asyncio.get_running_loop().time()
    gate.set()
    await asyncio.gather(*taken)
    assert len(here) == 3
    assert max(here) <= opened_s
    assert worker.app.committable.offsets[ALERTS] == 3_000


async def test_a_group_that_cannot_be_looked_at_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker({"route": {"channels": ["hook"], "group_by": ["alertname"], "group_wait": "5s"}})
    events = [make_event(name, {}, "firing", 0, sequence=1) for name in ("one", "two")]
    for event in events:
        worker.write(ALERTS, codec.encode(event), 0)
    look = Flush.run

    def run(flush: Flush) -> None:
        look(flush)
        if flush.record.labels["alertname"] == "one" and fails:
            raise ValueError("this one")

    monkeypatch.setattr(Flush, "run", run)
    fails = True
    for at_s in range(8):
        await worker.tick(at_s)
    assert [(at_s, alerts) for _, at_s, _, alerts in worker.told()] == [(5, (events[1].id,))]
    assert all(topic != TOPICS.dlq for topic, _, _ in worker.outbox.records)
    fails = False
    await worker.tick(9)
    assert [(at_s, alerts) for _, at_s, _, alerts in worker.told()][1:] == [(9, (events[0].id,))]


async def test_an_alert_that_cannot_be_looked_at_again_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(None)
    events = [make_event(name, {}, "firing", 0, sequence=1) for name in ("one", "two")]
    for event in events:
        worker.write(ALERTS, codec.encode(event), 0)
    await worker.tick(0)
    look = Direct.look

    def look_at(direct: Direct, record: RouteRecord) -> bool:
        if record.fingerprint == events[0].fingerprint:
            raise ValueError("this one")
        return look(direct, record)

    monkeypatch.setattr(Direct, "look", look_at)
    worker.route_by(AT_ONCE)
    await worker.tick(1)
    assert [alerts for _, _, _, alerts in worker.told()] == [(events[1].id,)]
    assert all(topic != TOPICS.dlq for topic, _, _ in worker.outbox.records)
