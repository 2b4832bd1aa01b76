"""Combine's step: records of one partition of `partials` in, signals out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tocsin.engine.combine.state import CombineState
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.sharing import changes, standing
from tocsin.engine.partial import Change, Limits, Panes, Partial, Progress
from tocsin.engine.watermark import Timing
from tocsin.schemas.signal import Signal


@dataclass(slots=True)
class Combined:
    """What a run of records came to: signals, and what they mean to composites over their rules."""

    signals: list[Signal] = field(default_factory=list)
    partials: list[Partial] = field(default_factory=list)


def step(state: CombineState, items: Sequence[Partial], end: int, book: RuleBook, timing: Timing) -> Combined:
    """Apply consecutive records, the last of which lies at offset `end`; `book` must reach every rules offset of
    Progress in them.

    What comes out, and the state, are the same however the records are handed over.
    """
    done = Combined()
    if state.owed:
        done.signals, state.owed = state.owed, []
        done.partials += state.number(changes(state.plan, done.signals, state.sender()))
    for item in items:
        if isinstance(item, Change):
            state.hear(item)
        elif state.is_known(item.source, item.sequence):
            continue
        elif isinstance(item, Panes):
            state.take_panes(item)
        elif isinstance(item, Limits):
            done.signals += state.limits.take(item)
        else:
            _take_progress(state, item, book, timing, done)
    state.offset = end
    return done


def _take_progress(state: CombineState, progress: Progress, book: RuleBook, timing: Timing, done: Combined) -> None:
    told, known = len(done.signals), set(state.plan.groups)
    plan = book.next_plan(state.plan, progress.rules_offset, max(progress.clock_ms, state.clock_ms))
    if plan is not None:
        done.signals += state.adopt(plan, progress.clock_ms, progress.sources)
    state.note(progress)
    fresh = [spec for key, spec in state.plan.groups.items() if key not in known and spec.members] if plan else []
    said = standing(state.lanes.values(), fresh, state.watermark_ms, state.sender())
    state.advance(done.signals)
    if state.clock_ms // 1_000 != state.looked_s:
        state.looked_s = state.clock_ms // 1_000
        state.look(timing.quiet_ms, timing.forget_ms, done.signals)
    said += changes(state.plan, done.signals[told:], state.sender())
    done.partials += state.number(said)
