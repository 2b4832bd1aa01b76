"""Bugs to plant one by one: in the engine, and in the order in which the agents write. Each must be found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.simulation.bug import Bug, crashes, deliver, learning, lulls, many_rounds, pauses, samples

from tocsin.engine import run_table
from tocsin.engine.evaluate import cell, step
from tocsin.engine.evaluate.checkpoint import HEADER, checkpoint, restore
from tocsin.engine.evaluate.columns import Columns
from tocsin.engine.evaluate.conditions.threshold import Threshold
from tocsin.engine.evaluate.flow import Flow
from tocsin.engine.evaluate.judge import Judge
from tocsin.engine.evaluate.lane import FREE, Lane
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.frame import SourceProgress
from tocsin.engine.ingest.step import UNSEEN_MS
from tocsin.engine.lifecycle import record as alert_record
from tocsin.engine.lifecycle import step as lifecycle
from tocsin.engine.lifecycle.step import NumberedCommand
from tocsin.engine.route import record as route_record
from tocsin.engine.route.direct import Direct
from tocsin.engine.simulation import evaluating
from tocsin.engine.simulation.broker import METRICS, SAMPLES
from tocsin.engine.simulation.delivering import DeliverProcess
from tocsin.engine.simulation.evaluating import EvaluateProcess
from tocsin.engine.simulation.table import RunTable
from tocsin.engine.simulation.world import Process, World
from tocsin.engine.watermark import TopicProgress


def commit_before_checkpoint(patch: pytest.MonkeyPatch) -> None:
    taken = EvaluateProcess._evaluate

    def take(self: EvaluateProcess, partition: int, limit: int) -> None:
        taken(self, partition, limit)
        self.committable[SAMPLES, partition] = self.states[partition].offset + 1

    patch.setattr(EvaluateProcess, "_evaluate", take)


def commit_before_frames(patch: pytest.MonkeyPatch) -> None:
    def settle(self: EvaluateProcess) -> None:
        for source, (position, _) in self.progress.items():
            self.committable[METRICS, source] = position

    patch.setattr(EvaluateProcess, "settle", settle)


def checkpoint_before_signals(patch: pytest.MonkeyPatch) -> None:
    def save(self: EvaluateProcess, partition: int) -> None:
        state = self.states.get(partition)
        if state is None or self.saved[partition] == state.offset:
            return
        signals, self.outbox.pending = self.outbox.pending, []
        entries, header = checkpoint(state)
        self.table.put(partition, {name.encode(): value for name, value in entries.items()})
        self.table.put(partition, {HEADER.encode(): header})
        self.saved[partition] = state.offset
        self.committable[SAMPLES, partition] = state.offset + 1
        self.outbox.pending += signals

    patch.setattr(EvaluateProcess, "save", save)


def header_before_entries(patch: pytest.MonkeyPatch) -> None:
    def save(self: EvaluateProcess, partition: int) -> None:
        state = self.states.get(partition)
        if state is None or self.saved[partition] == state.offset:
            return
        entries, header = checkpoint(state)
        self.outbox.acknowledged()
        self.table.put(partition, {HEADER.encode(): header})
        self.table.put(partition, {name.encode(): value for name, value in entries.items()})
        self.saved[partition] = state.offset
        self.committable[SAMPLES, partition] = state.offset + 1

    patch.setattr(EvaluateProcess, "save", save)


def journal_not_replayed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RunTable, "_last_run", lambda *_: run_table._NOTHING)


def no_journal(patch: pytest.MonkeyPatch) -> None:
    async def finish(self: RunTable, partition: int, run: str, entries: Any, outputs: Any) -> bool:
        reign = self._reigns[partition]
        if not await reign.holds():
            return False
        await self._carry_out(partition, reign, run_table._Journal(run, dict(entries), list(outputs)))
        return True

    patch.setattr(RunTable, "finish", finish)


def zombie_goes_on(patch: pytest.MonkeyPatch) -> None:
    rejoined = World.rejoin

    def rejoin(self: World, process: Process) -> None:
        if isinstance(process, EvaluateProcess):
            self.paused.discard(process.number)
        else:
            rejoined(self, process)

    patch.setattr(World, "rejoin", rejoin)


def cooldown_not_persisted(patch: pytest.MonkeyPatch) -> None:
    def forgetful(get: Callable[[str], bytes | None]) -> PartitionState:
        state = restore(get)
        for lane in state.lanes.values():
            for judge in lane.judges.values():
                for place, found in judge.cells.items():
                    found.cool_ms = cell.NEVER
                    judge.cells.put(*place, found)
        return state

    patch.setattr(evaluating, "restore", forgetful)


def order_not_compared(patch: pytest.MonkeyPatch) -> None:
    def is_known(record: alert_record.AlertRecord, item: Any) -> bool:
        return isinstance(item, NumberedCommand) and item.offset <= record.command_offset

    patch.setattr(lifecycle, "_is_known", is_known)


def command_acts_twice(patch: pytest.MonkeyPatch) -> None:
    def is_known(record: alert_record.AlertRecord, item: Any) -> bool:
        if isinstance(item, NumberedCommand):
            return item.offset <= record.command_offset
        return bool(item.order <= record.order)

    patch.setattr(lifecycle, "_is_known", is_known)


def dirty_flag_not_set(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Columns, "touch", lambda _self, _rows: None)


def waiting_not_saved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Flow, "pack", lambda _self: msgspec.msgpack.encode({}))


def repeats_not_dropped(patch: pytest.MonkeyPatch) -> None:
    found = TopicProgress.source

    def source(self: TopicProgress, partition: int) -> Any:
        entry = found(self, partition)
        entry.applied = -1
        return entry

    patch.setattr(TopicProgress, "source", source)


def watermark_is_the_highest(patch: pytest.MonkeyPatch) -> None:
    def others_ms(self: TopicProgress, partition: int) -> int:
        return max((source.highest_ms for source in self.sources.values()), default=UNSEEN_MS)

    patch.setattr(TopicProgress, "others_ms", others_ms)


def lag_is_silence(patch: pytest.MonkeyPatch) -> None:
    heard = TopicProgress._hear

    def hear(self: TopicProgress, source: Any, seen: SourceProgress, *rest: Any) -> None:
        heard(self, source, msgspec.structs.replace(seen, lag=0), *rest)

    patch.setattr(TopicProgress, "_hear", hear)


def gap_is_no_silence(patch: pytest.MonkeyPatch) -> None:
    def hear(self: Lane, samples: Samples, out: list[Any]) -> None:
        self.take(samples, out)
        slots = self.slots(samples.series)
        np.maximum.at(self.columns["heard"], slots[slots != FREE], samples.at_ms[slots != FREE])

    patch.setattr(Lane, "hear", hear)


def late_sample_is_the_latest(patch: pytest.MonkeyPatch) -> None:
    heard = Lane.hear

    def hear(self: Lane, samples: Samples, out: list[Any]) -> None:
        heard(self, samples, out)
        slots = self.slots(samples.series)
        self.columns["heard"][slots[slots != FREE]] = samples.at_ms[slots != FREE]

    patch.setattr(Lane, "hear", hear)


def state_lost_on_edit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Judge, "inherit", lambda self, old: self.columns.add(old.columns.count))


def edit_reaches_back(patch: pytest.MonkeyPatch) -> None:
    judged = step._judge

    def judge(state: PartitionState, out: list[Any]) -> None:
        if not any(flow.ready for flow in state.flows.values()) or state.clock_ms % 3 == 0:
            judged(state, out)

    patch.setattr(step, "_judge", judge)


def recovery_ignored(patch: pytest.MonkeyPatch) -> None:
    def ends(self: Threshold, column: int, value: float) -> bool:
        return not self._compare(value, self._limits[column])

    patch.setattr(Threshold, "ends", ends)
    patch.setattr(Threshold, "may_end", Threshold.may_fail)


def since_forgotten(patch: pytest.MonkeyPatch) -> None:
    kept = Judge._keep

    def keep(self: Judge, slot: int, owner: int, states: list[int], found: cell.Cell | None) -> None:
        kept(self, slot, owner, states, found)
        self.columns["due"][slot] = np.maximum(self.columns["due"][slot], 0) + 1

    patch.setattr(Judge, "_keep", keep)


def resolved_not_sent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Direct, "_tell_resolved", lambda self, record, event: None)


def told_not_persisted(patch: pytest.MonkeyPatch) -> None:
    def encode(record: route_record.RouteRecord) -> bytes:
        return msgspec.msgpack.encode(msgspec.structs.replace(record, told={}))

    patch.setattr(route_record, "encode", encode)


def delivery_forgets(patch: pytest.MonkeyPatch) -> None:
    def read_tail(self: DeliverProcess) -> None:
        self.delivered, self.given_up, self.begun = set(), set(), {}
        self.has_read_tail = True

    patch.setattr(DeliverProcess, "read_tail", read_tail)


def delivery_commits_what_it_read(patch: pytest.MonkeyPatch) -> None:
    def commit(self: DeliverProcess) -> None:
        for place, claim in self.claims.items():
            self.outbox.commit("deliver", place, claim.position)

    patch.setattr(DeliverProcess, "commit", commit)


def learnt_not_saved(patch: pytest.MonkeyPatch) -> None:
    restored = restore

    def forgetful(*given: Any) -> PartitionState:
        state = restored(*given)
        for lane in state.lanes.values():
            for derivation in lane.derivations.values():
                for name, (_, _, unknown) in derivation.columns.spec.items():
                    derivation.columns[name][:] = unknown
        return state

    patch.setattr(evaluating, "restore", forgetful)


PLANTED = (
    Bug("a samples offset is committed before its checkpoint", commit_before_checkpoint, (samples,)),
    Bug("a source offset is committed before its frames are acknowledged", commit_before_frames, (samples, crashes)),
    Bug("a checkpoint does not wait for the signals before it", checkpoint_before_signals, (samples,)),
    Bug("a checkpoint's header is written before its entries", header_before_entries, (samples,)),
    Bug("a journal is emptied, not replayed", journal_not_replayed),
    Bug("there is no journal: entries, then outputs", no_journal),
    Bug("a paused process goes on with partitions that went to others", zombie_goes_on, (samples, pauses, many_rounds)),
    Bug("a cooldown is not persisted", cooldown_not_persisted, (samples, crashes, many_rounds)),
    Bug("the order of signals is not compared", order_not_compared),
    Bug("a command that is sent twice acts twice", command_acts_twice),
    Bug("rows that were written are not marked for the checkpoint", dirty_flag_not_set, (samples,)),
    Bug("what rules have learnt is not in the checkpoint", learnt_not_saved, (samples, learning)),
    Bug("samples that wait are not in the checkpoint", waiting_not_saved, (samples,)),
    Bug("frames that come again are applied again", repeats_not_dropped, (samples,)),
    Bug("the watermark is that of the fastest partition", watermark_is_the_highest, (samples,)),
    Bug("a partition that lags counts as read", lag_is_silence, (samples, lulls)),
    Bug("a gap between two samples is no silence", gap_is_no_silence, (samples, lulls)),
    Bug("a late sample counts as the latest of its series", late_sample_is_the_latest, (samples, lulls)),
    Bug("an edited rule begins with no state", state_lost_on_edit),
    Bug("an edited rule judges samples from before the edit", edit_reaches_back),
    Bug("the recovery threshold is ignored", recovery_ignored, (samples,)),
    Bug("the time at which a level may fire drifts", since_forgotten, (samples,)),
    Bug("who heard of an alert does not hear of its end", resolved_not_sent),
    Bug("who was told is not persisted", told_not_persisted),
    Bug("delivery forgets what was acknowledged", delivery_forgets, (deliver,)),
    Bug("delivery commits what it has read, not what is settled", delivery_commits_what_it_read, (deliver,)),
)
