"""What a samples partition sends to where groups meet: shares, what members of composites do, and how far it is."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from tocsin.engine.evaluate.cell import FIRING, NO_DATA, Cell
from tocsin.engine.evaluate.gather import GatherLane
from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.evaluate.plan import GroupSpec, Plan
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.ingest.step import UNSEEN_MS
from tocsin.engine.partial import Change, MemberState, Partial, Progress
from tocsin.engine.watermark import Timing
from tocsin.schemas.labels import series_key
from tocsin.schemas.signal import Signal, SignalKind

_TOLD: Final[dict[SignalKind, MemberState]] = {"firing": "firing", "changed": "firing", "ended": "rest"}


def watermark(state: PartitionState, timing: Timing) -> int:
    """Up to which event time every topic has been read. Where nothing comes any more, time goes on all the same, only
    later: by what a silent series' windows are given as well."""
    found = []
    for topic in state.topics.values():
        if not topic.has_data:
            continue
        found.append(max(topic.others_ms(-1), topic.idle_watermark(state.clock_ms) - timing.quiet_ms))
    return min(found, default=UNSEEN_MS)


def close(state: PartitionState, watermark_ms: int) -> list[Partial]:
    """Panes that the watermark has passed."""
    found: list[Partial] = []
    for lane in state.lanes.values():
        if isinstance(lane, GatherLane):
            found += lane.close(watermark_ms, state.source, state.sequence + len(found))
    state.sequence += len(found)
    return found


def progress(state: PartitionState, watermark_ms: int, sources: int) -> Progress:
    """How far this partition is."""
    listened_ms = min((topic.listened_ms for topic in state.topics.values()), default=0)
    state.sequence += 1
    return Progress(
        state.source, state.sequence - 1, sources, state.clock_ms, state.plan.offset, watermark_ms, listened_ms
    )


def changes(plan: Plan, signals: Sequence[Signal]) -> list[Partial]:
    """What signals mean to composites over their rules."""
    found: list[Partial] = []
    for signal in signals:
        told: MemberState | None = "no data" if signal.reason == "no data" else _TOLD.get(signal.kind)
        if told is None:
            continue
        for spec in plan.composites_over(signal.rule_id):
            key = _group_key(spec, signal.labels)
            at = signal.order, signal.at_ms
            found.append(Change(spec.key, key, signal.rule_id, signal.fingerprint, *at, told))
    return found


def standing(lanes: Iterable[Lane], specs: Sequence[GroupSpec], at_ms: int) -> list[Partial]:
    """What already fires when composites begin to look."""
    found: list[Partial] = []
    for spec in specs:
        members = {member.rule for member in spec.members}
        for lane in lanes:
            for rule_id, labels, cell, epoch, told in _active(lane, members):
                order = epoch, cell.order_at, cell.order_number
                found.append(Change(spec.key, _group_key(spec, labels), rule_id, cell.fingerprint, order, at_ms, told))
    return found


def _active(lane: Lane, members: set[str]) -> Iterator[tuple[str, dict[str, str], Cell, int, MemberState]]:
    for judge in lane.judges.values():
        for owner, version in enumerate(judge.versions):
            if version.rule.id not in members:
                continue
            states = judge.columns["state"][: judge.columns.count, judge.columns_of(owner)].max(axis=1, initial=0)
            for slot in (states >= FIRING).nonzero()[0].tolist():
                told: MemberState = "no data" if states[slot] == NO_DATA else "firing"
                yield version.rule.id, lane.describe(slot).labels, judge.cells[slot, owner], version.epoch, told


def _group_key(spec: GroupSpec, labels: dict[str, str]) -> bytes:
    return series_key("", {name: labels.get(name, "") for name in spec.group_by})
