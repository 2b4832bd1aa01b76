"""Bugs to plant one by one in route, in lifecycle's timers, and in how owners of partitions follow each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from tests.simulation.bug import Bug, crashes, evaluate, many_rounds, overtaking, pauses, routes, samples

from tocsin.engine import pieces, run_table, standing
from tocsin.engine.lifecycle import step as lifecycle
from tocsin.engine.lifecycle import transitions
from tocsin.engine.lifecycle.record import AlertRecord
from tocsin.engine.pieces import PieceTable
from tocsin.engine.route import flush, group_record, groups, inhibition, known, marks, runs, store, telling
from tocsin.engine.route import silences as silencing
from tocsin.engine.route.board import Board
from tocsin.engine.route.direct import Direct
from tocsin.engine.route.flush import Flush
from tocsin.engine.route.group_record import GroupRecord, Joined, Progress, Snapshot
from tocsin.engine.route.inhibition import Inhibitor
from tocsin.engine.route.members import Members, Numbers
from tocsin.engine.route.store import Index, RouteStore
from tocsin.engine.route.tree import Node
from tocsin.engine.simulation import routing
from tocsin.engine.simulation.routing import RouteProcess
from tocsin.engine.simulation.table import RunTable
from tocsin.engine.wakes import Wakes
from tocsin.schemas import alert
from tocsin.schemas import mark as mark_schema
from tocsin.schemas.instant import format_instant
from tocsin.schemas.matcher import matches_all

Patch = pytest.MonkeyPatch


def reigns_have_one_name(patch: Patch) -> None:
    patch.setattr(run_table, "next_reign", lambda *_: b"0" * 16)


def asked_before_the_journal(patch: Patch) -> None:
    async def finish(self: RunTable, partition: int, run: str, entries: Any, outputs: Any) -> bool:
        reign = self._reigns.get(partition)
        if reign is None or not await reign.holds():
            return False
        if entries or outputs:
            journal = run_table._Journal(run, dict(entries), list(outputs))
            name = run_table._JOURNAL + reign.name
            await self._pieces.write(partition, {name: msgspec.msgpack.encode(journal)})
            await self._carry_out(partition, reign, journal)
        return True

    patch.setattr(RunTable, "finish", finish)


def entries_of_any_reign(patch: Patch) -> None:
    def get(self: RunTable, partition: int, key: str) -> bytes | None:
        names = self._pieces.names(partition, run_table._entry(key))
        return self._pieces.read(partition, names[0]) if names else None

    patch.setattr(RunTable, "get", get)


def removed_without_a_mark(patch: Patch) -> None:
    patch.setattr(RunTable, "_come_back", lambda *_: iter(()))


def roots_before_pieces(patch: Patch) -> None:
    cut = pieces._cut

    async def write(self: PieceTable, partition: int, entries: Mapping[bytes, bytes | None]) -> None:
        roots: dict[bytes, bytes | None] = {}
        parts: dict[bytes, bytes | None] = {}
        for name, value in entries.items():
            roots[name] = None
            if value is not None:
                root, found = cut(value, 0, self._piece_bytes)
                roots[name] = pieces._encoder.encode(root)
                parts |= {pieces._piece_name(name, 0, index): part for index, part in enumerate(found)}
        await self._stored.write(partition, {**roots, **parts})

    patch.setattr(PieceTable, "write", write)


def late_states_count(patch: Patch) -> None:
    patch.setattr(Board, "is_news", lambda *_: True)


def drills_inhibit(patch: Patch) -> None:
    def labels(event: alert.AlertEvent | None) -> dict[str, str] | None:
        return alert.routing_labels(event) if event and event.is_active else None

    patch.setattr(known, "labels_on_board", labels)


def told_without_reading_on(patch: Patch) -> None:
    patch.setattr(routing, "tells", lambda *_: False)


def acknowledged_alerts_do_not_inhibit(patch: Patch) -> None:
    def labels(event: alert.AlertEvent | None) -> dict[str, str] | None:
        return alert.routing_labels(event) if event and event.status == "firing" and not event.drill else None

    patch.setattr(known, "labels_on_board", labels)


def joins_numbered_anew(patch: Patch) -> None:
    patch.setattr(RouteStore, "numbers", lambda _self, partition, _at_ms: Numbers(partition, 0))


def joins_count_twice(patch: Patch) -> None:
    encode = group_record.encode

    def forgetful(record: GroupRecord | Progress) -> bytes:
        return encode(Progress(record.clock_ms) if isinstance(record, Progress) else record)

    patch.setattr(group_record, "encode", forgetful)


def groups_wait_for_nobody_after_a_handover(patch: Patch) -> None:
    of = Index.of.__func__  # type: ignore[attr-defined]

    def forgetful(*arguments: Any) -> Index:
        made: Index = of(Index, *arguments)
        made.groups = type(made.groups)()
        return made

    patch.setattr(Index, "of", staticmethod(forgetful))


def held_alerts_wait_for_nobody_after_a_handover(patch: Patch) -> None:
    of = Index.of.__func__  # type: ignore[attr-defined]

    def forgetful(*arguments: Any) -> Index:
        made: Index = of(Index, *arguments)
        made._held = type(made._held)()
        return made

    patch.setattr(Index, "of", staticmethod(forgetful))


def looks_drift(patch: Patch) -> None:
    run = Flush.run

    def late(self: Flush) -> None:
        is_due = self.record.due_ms <= self.now_ms
        run(self)
        if is_due:
            self.record.due_ms = self.now_ms + self.world.options(self.record.route).interval_ms

    patch.setattr(Flush, "run", late)


def group_forgets_what_it_said(patch: Patch) -> None:
    encode = group_record.encode

    def forgetful(record: GroupRecord | Progress | Snapshot | Joined) -> bytes:
        return encode(msgspec.structs.replace(record, told={}) if isinstance(record, Snapshot) else record)

    patch.setattr(group_record, "encode", forgetful)


def every_alert_waits_for_its_group(patch: Patch) -> None:
    member = groups._member
    patch.setattr(
        groups, "_member", lambda join: msgspec.structs.replace(member(join), fired_ms=member(join).fired_ms + 10**6)
    )


def acknowledged_groups_repeat(patch: Patch) -> None:
    member = groups._member
    patch.setattr(groups, "_member", lambda join: msgspec.structs.replace(member(join), acknowledged=False))


def worse_is_no_news(patch: Patch) -> None:
    member = groups._member
    patch.setattr(groups, "_member", lambda join: msgspec.structs.replace(member(join), rank=0))


def quiet_alerts_do_not_resolve(patch: Patch) -> None:
    say = telling.say

    def silent(told: Any, view: Any, *rest: Any, **more: Any) -> Any:
        return None if view.quiet and view.over else say(told, view, *rest, **more)

    patch.setattr(flush, "say", silent)


def silence_without_end(patch: Patch) -> None:
    def holds(self: Any, at_ms: int) -> bool:
        return bool(self.silence.starts_at <= at_ms)

    patch.setattr(silencing._Entry, "holds", holds)


def silence_outlives_its_alert(patch: Patch) -> None:
    patch.setattr(silencing, "applies", lambda silence, labels, _fired_ms: matches_all(silence.match, labels))


def inhibition_without_equal(patch: Patch) -> None:
    patch.setattr(inhibition._Rule, "_equal", lambda *_: ())


def alert_inhibits_itself(patch: Patch) -> None:
    def sources_of(self: Any, labels: Mapping[str, str]) -> list[str]:
        return list(self._sources.get(self._equal(labels), {})) if self.is_target(labels) else []

    patch.setattr(inhibition._Rule, "sources_of", sources_of)


def no_hold(patch: Patch) -> None:
    patch.setattr(Inhibitor, "wait", lambda *_: None)


def new_routes_forget_who_is_active(patch: Patch) -> None:
    patch.setattr(Inhibitor, "following", lambda _self, found: Inhibitor(found))


def continue_is_ignored(patch: Patch) -> None:
    def find(self: Node, labels: Mapping[str, str]) -> list[Node]:
        if not matches_all(self.match, labels):
            return []
        taken: list[Node] = next((found for child in self.children if (found := child.find(labels))), [])
        return taken or [self]

    patch.setattr(Node, "find", find)


def change_of_routes_moves_nobody(patch: Patch) -> None:
    patch.setattr(Members, "look", lambda *_: False)


def who_leaves_a_group_stays(patch: Patch) -> None:
    def move(
        self: Members, record: Any, event: Any, wanted: Sequence[Any], known: frozenset[str] = frozenset()
    ) -> None:
        self.joins.extend(self._join(one, event) for one in wanted if one.group_key not in known)
        record.groups = wanted

    patch.setattr(Members, "_move", move)


def alarms_are_lost_at_a_handover(patch: Patch) -> None:
    patch.setattr(routing, "alarms_of", lambda *_: Wakes())


def ends_when_it_is_noticed(patch: Patch) -> None:
    due = transitions._due

    def late(record: AlertRecord, event: alert.AlertEvent, at_ms: int, now_ms: int) -> alert.AlertEvent:
        made = due(record, event, at_ms, now_ms)
        record.event = msgspec.structs.replace(made, updated_at=format_instant(now_ms))
        return record.event

    patch.setattr(transitions, "_due", late)


def missed_reminders_all_come(patch: Patch) -> None:
    due = transitions._due
    patch.setattr(transitions, "_due", lambda record, event, at_ms, _now_ms: due(record, event, at_ms, at_ms))


def nothing_ends_by_itself(patch: Patch) -> None:
    patch.setattr(lifecycle, "on_time", lambda *_: iter(()))


def held_alert_is_told_though_somebody_knows(patch: Patch) -> None:
    take = Direct.take

    def forgetful(self: Direct, record: Any, event: Any) -> None:
        if event.type != "acknowledged":
            take(self, record, event)

    patch.setattr(Direct, "take", forgetful)


def decisions_are_not_written(patch: Patch) -> None:
    patch.setattr(flush, "_decided", lambda *_, **__: iter(()))


def committed_before_it_is_finished(patch: Patch) -> None:
    finish = RouteProcess._finish

    async def early(self: RouteProcess, table: Any, attempt: Any, *rest: Any) -> bool:
        place = attempt.topic, attempt.partition
        self.broker.committed[routing.GROUP, place] = attempt.records[-1].offset + 1
        return await finish(self, table, attempt, *rest)

    patch.setattr(RouteProcess, "_finish", early)


def entries_of_a_look_again_are_lost(patch: Patch) -> None:
    patch.setattr(runs, "entries_of_alerts", _without_records(store.entries_of_alerts))


def _without_records(entries_of: Callable[..., dict[str, bytes | None]]) -> Callable[..., dict[str, bytes | None]]:
    def entries(changes: Any, numbers: Numbers) -> dict[str, bytes | None]:
        found = entries_of(changes, numbers)
        return found if len(found) != 1 else {}

    return entries


def marks_ignore_what_is_waited_for(patch: Patch) -> None:
    patch.setattr(standing, "_late", lambda _: ())


def lifecycle_is_not_waited_for(patch: Patch) -> None:
    put = marks.Marks.put

    def hasty(self: marks.Marks, name: str, mark: mark_schema.Mark) -> None:
        put(self, name, msgspec.structs.replace(mark, ends=()) if isinstance(mark, mark_schema.Passed) else mark)

    patch.setattr(marks.Marks, "put", hasty)


def marks_wake_nobody(patch: Patch) -> None:
    patch.setattr(inhibition.Inhibitor, "wait", _of_no_marks(inhibition.Inhibitor.wait))


def _of_no_marks(wait: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, labels, fired_ms, _reached: wait(self, labels, fired_ms, marks.Reached())


PLANTED_IN_ROUTE = (
    Bug("all owners of a partition write under one name", reigns_have_one_name),
    Bug("the group is asked before the journal is written", asked_before_the_journal, (routes, overtaking)),
    Bug("the entry of the oldest reign counts", entries_of_any_reign, (routes, overtaking)),
    Bug("what was removed comes back", removed_without_a_mark, (routes, overtaking, many_rounds)),
    Bug("an entry is there before its pieces", roots_before_pieces),
    Bug("a state that comes late counts", late_states_count, (routes, overtaking, pauses)),
    Bug("an exercise inhibits", drills_inhibit),
    Bug("what is acknowledged does not inhibit", acknowledged_alerts_do_not_inhibit, (routes,)),
    Bug("who tells does not read configuration to its end", told_without_reading_on),
    Bug("what goes to groups is numbered from nothing in each run", joins_numbered_anew),
    Bug("what came to a group before is not known again", joins_count_twice, (routes,)),
    Bug("groups wait for nobody when they have another owner", groups_wait_for_nobody_after_a_handover),
    Bug("alerts that are held wait for nobody then", held_alerts_wait_for_nobody_after_a_handover, (routes,)),
    Bug("looks at a group drift", looks_drift, (routes, overtaking)),
    Bug("what a group said is not persisted", group_forgets_what_it_said),
    Bug("an alert that fired long ago waits for its group again", every_alert_waits_for_its_group),
    Bug("what is acknowledged is repeated", acknowledged_groups_repeat, (routes,)),
    Bug("a worse severity is no news", worse_is_no_news, (routes, evaluate)),
    Bug("beside what is quiet, nothing resolves", quiet_alerts_do_not_resolve, (routes,)),
    Bug("a silence does not end", silence_without_end),
    Bug("a silence that ends with its alert does not", silence_outlives_its_alert),
    Bug("an inhibition ignores what must be equal", inhibition_without_equal),
    Bug("an alert that matches both sides inhibits itself", alert_inhibits_itself),
    Bug("nothing waits for what may inhibit it", no_hold),
    Bug("with new routes nobody is active", new_routes_forget_who_is_active, (routes, many_rounds)),
    Bug("a route that goes on does not", continue_is_ignored),
    Bug("a change of routes moves nobody", change_of_routes_moves_nobody),
    Bug("who leaves a group stays in it", who_leaves_a_group_stays),
    Bug("timers of alerts are lost when they have another owner", alarms_are_lost_at_a_handover),
    Bug("what ends, ends when it is noticed", ends_when_it_is_noticed),
    Bug("of reminders that were missed, every one comes", missed_reminders_all_come, (routes,)),
    Bug("nothing ends by itself", nothing_ends_by_itself),
    Bug("what was held back is told though somebody knows", held_alert_is_told_though_somebody_knows),
    Bug("why a group is not told is not written down", decisions_are_not_written),
    Bug("an input is committed before its run is finished", committed_before_it_is_finished, (routes, crashes)),
    Bug("who was told after waiting is not persisted", entries_of_a_look_again_are_lost),
    Bug("marks ignore the late samples that rules wait for", marks_ignore_what_is_waited_for, (samples,)),
    Bug(
        "marks count before lifecycle has worked off what they speak of",
        lifecycle_is_not_waited_for,
        (routes, evaluate),
    ),
    Bug("marks end no waiting", marks_wake_nobody, (routes, evaluate, many_rounds)),
)
