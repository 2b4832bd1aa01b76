"""Combine's step: records of one partition of `partials` in, signals out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tocsin.engine.combine.composite import CompositeGroups
from tocsin.engine.combine.state import CombineState
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.sharing import changes, standing
from tocsin.engine.partial import Change, Panes, Partial, Progress
from tocsin.engine.watermark import Timing
from tocsin.schemas.signal import Signal


@dataclass(slots=True)
class Combined:
    """What a run of records came to: signals, and what they mean to composites over their rules."""

    signals: list[Signal] = field(default_factory=list)
    partials: list[Partial] = field(default_factory=list)


def step(state: CombineState, items: Sequence[Partial], end: int, book: RuleBook, timing: Timing) -> Combined:
    """Apply consecutive records, the last of which lies at offset `end`; `book` must reach every rules offset in them.

    What comes out, and the state, are the same however the records are handed over.
    """
    done = Combined()
    for item in items:
        if isinstance(item, Change):
            lane = state.lanes.get(item.lane)
            if isinstance(lane, CompositeGroups):
                lane.take_change(item)
        elif state.is_known(item.source, item.sequence):
            continue
        elif isinstance(item, Panes):
            _take_panes(state, item, done.signals)
        else:
            told = len(done.signals)
            if item.rules_offset > state.plan.offset:
                _adopt(state, item, book, done)
            _take_progress(state, item, timing, done.signals)
            done.partials += changes(state.plan, done.signals[told:])
    state.offset = end
    return done


def _take_panes(state: CombineState, panes: Panes, out: list[Signal]) -> None:
    for lane in state.lanes.values():
        for part, key in enumerate(lane.group.parts):
            if key == panes.lane:
                lane.take_panes(part, panes, state.listened_ms, out)


def _adopt(state: CombineState, progress: Progress, book: RuleBook, done: Combined) -> None:
    assert book.end >= progress.rules_offset, f"rules known to {book.end}, wanted to {progress.rules_offset}"
    known = set(state.plan.groups)
    done.signals += state.adopt(book.plan_after(state.plan, progress.rules_offset), progress.clock_ms, progress.sources)
    fresh = [spec for key, spec in state.plan.groups.items() if key not in known and spec.members]
    done.partials += standing(list(state.lanes.values()), fresh, progress.clock_ms)


def _take_progress(state: CombineState, progress: Progress, timing: Timing, out: list[Signal]) -> None:
    state.note(progress)
    for lane in state.lanes.values():
        lane.advance(state.watermark_ms, out)
    if state.clock_ms // 1_000 != state.looked_s:
        state.looked_s = state.clock_ms // 1_000
        state.look(timing.quiet_ms, timing.forget_ms, out)
