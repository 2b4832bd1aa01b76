"""What a samples partition sends to where groups meet: shares, what members of composites do, and how far it is."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from tocsin.engine.evaluate.cell import FIRING, NO_DATA
from tocsin.engine.evaluate.gather import GatherLane
from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.evaluate.plan import GroupSpec, Plan
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.ingest.step import UNSEEN_MS
from tocsin.engine.partial import Change, MemberState, Partial, Progress
from tocsin.engine.watermark import Timing
from tocsin.schemas.labels import series_key
from tocsin.schemas.signal import Signal, SignalKind

_NUMBERS_A_MS: Final = 16  # bits
_TOLD: Final[dict[SignalKind, MemberState]] = {"firing": "firing", "changed": "firing", "ended": "rest"}


@dataclass(frozen=True, slots=True)
class Sender:
    """Who says what members of composites do: its name, the number of what it sends next, and the plan it goes by."""

    source: str
    sequence: int
    rules_offset: int

    @classmethod
    def of(cls, state: PartitionState) -> Self:
        """A samples partition."""
        return cls(state.source, state.sequence, state.plan.offset)


def numbered_from(sequence: int, clock_ms: int) -> int:
    """Numbers go on from the clock of the log, so that they do even where a checkpoint was lost."""
    return max(sequence, clock_ms << _NUMBERS_A_MS)


def watermark(state: PartitionState, timing: Timing) -> int:
    """Up to which event time every topic has been read. Where nothing comes any more, time goes on all the same, only
    later: by what a silent series' windows are given as well. A topic that is empty holds nothing up, one of which
    something may still be unread does."""
    found = []
    for topic in state.topics.values():
        if len(topic.sources) < topic.partitions:
            return UNSEEN_MS
        if any(source.lag or source.highest_ms > UNSEEN_MS for source in topic.sources.values()):
            found.append(max(topic.others_ms(-1), topic.idle_watermark() - timing.quiet_ms))
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


def changes(plan: Plan, signals: Iterable[Signal], sender: Sender) -> list[Change]:
    """What signals mean to composites over their rules. An alert that ended has data again, or its rule takes silence
    for rest."""
    found: list[Change] = []
    for signal in signals:
        told = _TOLD.get(signal.kind)
        if told is None or signal.rule_id not in plan.composites:
            continue
        if told == "firing" and signal.reason == "no data":
            told = "no data"
        member = _Member(signal.rule_id, signal.labels, signal.fingerprint, signal.order, told)
        said_ms = signal.order[1]  # what is said later counts as later, even if it is about an earlier time
        found += [member.change(spec, said_ms, sender) for spec in plan.composites[signal.rule_id]]
    return found


def standing(lanes: Iterable[Lane], specs: Sequence[GroupSpec], since_ms: int, sender: Sender) -> list[Change]:
    """What already fires when composites begin to look, which is at `since_ms`."""
    return [
        member.change(spec, max(since_ms, member.order[1]), sender)
        for lane in lanes
        for spec in specs
        for member in _active(lane, {member.rule for member in spec.members})
    ]


@dataclass(frozen=True, slots=True)
class _Member:
    """An alert of a composite's member."""

    rule_id: str
    labels: dict[str, str]
    fingerprint: str
    order: tuple[int, int, int]
    state: MemberState

    def change(self, spec: GroupSpec, at_ms: int, sender: Sender) -> Change:
        """That it is in this state since some time, as told to one composite."""
        key = series_key("", {name: self.labels.get(name, "") for name in spec.group_by})
        by = sender.source, sender.sequence, sender.rules_offset
        return Change(*by, spec.key, key, self.rule_id, self.fingerprint, self.order, at_ms, self.state)


def _active(lane: Lane, rules: set[str]) -> Iterator[_Member]:
    for judge in lane.judges.values():
        for owner, version in enumerate(judge.versions):
            if version.rule.id not in rules:
                continue
            states = judge.columns["state"][: judge.columns.count, judge.columns_of(owner)].max(axis=1, initial=0)
            for slot in (states >= FIRING).nonzero()[0].tolist():
                told: MemberState = "no data" if states[slot] == NO_DATA else "firing"
                cell = judge.cells.get(slot, owner)
                assert cell is not None, "what fires has a cell"
                order = version.epoch, cell.order_at, cell.order_number
                yield _Member(version.rule.id, lane.describe(slot).labels, cell.fingerprint, order, told)
