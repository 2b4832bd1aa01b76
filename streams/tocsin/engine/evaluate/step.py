"""Evaluate's step: records of one samples partition in, signals and shares of groups out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from tocsin.engine.evaluate import limits, shadows, sharing
from tocsin.engine.evaluate.late import LateSample
from tocsin.engine.evaluate.plan import Plan
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import MANY_HOMES, NO_HOME, UNWATCHED
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.frame import Frame, Ints, Tick
from tocsin.engine.numbering import ABSENT
from tocsin.engine.partial import Partial
from tocsin.engine.watermark import EVERYTHING_MS, Timing, TopicProgress
from tocsin.schemas.shadow import ShadowProgress
from tocsin.schemas.signal import Signal

_FORGET_EVERY_S = 60
_TELL_EVERY_S = 10


@dataclass(slots=True)
class Evaluated:
    """What a run of records came to: signals, shares of groups, late samples, and what candidates have seen."""

    signals: list[Signal] = field(default_factory=list)
    partials: list[Partial] = field(default_factory=list)
    late: list[LateSample] = field(default_factory=list)
    shadows: list[ShadowProgress] = field(default_factory=list)
    told: int = 0  # signals that composites have heard of


def step(
    state: PartitionState, items: Sequence[Frame | Tick], end: int, book: RuleBook, timing: Timing, sources: int = 1
) -> Evaluated:
    """Apply consecutive records, the last of which lies at offset `end`; `book` must reach every tick's rules offset.

    `sources` is how many samples partitions there are. What comes out, and the state, are the same however the records
    are handed over.
    """
    done = Evaluated()
    done.signals, state.owed = state.owed, []
    for item in items:
        if isinstance(item, Frame):
            _take_frame(state, item)
            continue
        is_told = bool(state.plan.groups)
        plan = book.next_plan(state.plan, item.rules_offset, max(item.clock_ms, state.clock_ms))
        is_new = plan is not None
        if plan is not None:
            _judge(state, done.signals)
            _tell_composites(state, done)
            _hand_over_late(state, done)
            done.shadows += shadows.progress(state)
            _adopt(state, plan, item.clock_ms, timing, done)
        _take_tick(state, item, timing)
        second = item.clock_ms // 1_000
        is_second = second != state.looked_s
        if is_second:
            _judge(state, done.signals)
            _look_for_silence(state, second, timing, done.signals)
            if second % _TELL_EVERY_S == 0:
                done.shadows += shadows.progress(state)
        if state.plan.groups or (is_new and is_told):
            _share(state, is_second or is_new, timing, sources, done)
        done.partials += limits.look(state, state.clock_ms)
    _judge(state, done.signals)
    _tell_composites(state, done)
    _hand_over_late(state, done)
    state.offset = end
    return done


def _hand_over_late(state: PartitionState, done: Evaluated) -> None:
    for lane in state.lanes.values():
        done.late += lane.hand_over_late()


def _adopt(state: PartitionState, plan: Plan, at_ms: int, timing: Timing, done: Evaluated) -> None:
    known = set(state.plan.groups)
    done.signals += state.adopt(plan, at_ms)
    _tell_composites(state, done)
    fresh = [spec for key, spec in plan.groups.items() if key not in known and spec.members]
    since_ms = sharing.watermark(state, timing)
    done.partials += sharing.standing(list(state.lanes.values()), fresh, since_ms, sharing.Sender.of(state))


def _share(state: PartitionState, must_tell: bool, timing: Timing, sources: int, done: Evaluated) -> None:
    """Send on what the watermark has passed; once a second, and of a new plan, how far we are even if nothing moved."""
    watermark_ms = sharing.watermark(state, timing)
    if not must_tell and not state.would_close(watermark_ms):
        return
    _judge(state, done.signals)
    _tell_composites(state, done)
    state.sequence = sharing.numbered_from(state.sequence, state.clock_ms)
    done.partials += sharing.close(state, watermark_ms)
    done.partials.append(sharing.progress(state, watermark_ms, sources))


def _tell_composites(state: PartitionState, done: Evaluated) -> None:
    if state.plan.groups:
        done.partials += sharing.changes(state.plan, done.signals[done.told :], sharing.Sender.of(state))
    done.told = len(done.signals)


def _take_frame(state: PartitionState, frame: Frame) -> None:
    """Note a frame's samples: those that may be judged now are ready in the flows, in order."""
    topic = state.topics.setdefault(frame.topic, TopicProgress())
    source = topic.source(frame.partition)
    offsets = np.frombuffer(frame.offsets, np.uint32).astype(np.int64) + frame.base_offset
    if offsets[-1] <= source.applied:
        return  # before its series are looked at: a repeat must not admit any under a later plan
    at_ms = np.frombuffer(frame.at_ms, np.int64)
    values = np.frombuffer(frame.values, np.float64)
    series = _numbers(state, frame)[np.frombuffer(frame.series, np.uint32)]
    if offsets[0] <= source.applied:
        fresh = offsets > source.applied
        offsets, at_ms, values, series = offsets[fresh], at_ms[fresh], values[fresh], series[fresh]
    source.applied = int(offsets[-1])
    rising = topic.rising(frame.partition, at_ms, frame.clock_ms)
    number = state.source_number(frame.topic, frame.partition)
    samples = Samples(series, at_ms, values, np.full(len(series), number, np.int64), offsets)
    arrival = np.arange(len(series))
    watched = series != UNWATCHED
    if not watched.all():
        samples, arrival = samples.take(watched), arrival[watched]
    if not len(samples):
        return
    state.series.saw(samples.series, samples.at_ms, number)
    ordered = frame.keyed or topic.partitions == 1
    _settle(state, samples.series, number, ordered)
    for flow in state.flows.values():
        flow.take(frame.topic, samples, arrival, rising, state.series, number if ordered else None)


def _numbers(state: PartitionState, frame: Frame) -> Ints:
    numbers = state.series.find(frame.ids)
    absent = np.flatnonzero(numbers == ABSENT).tolist()
    if not absent:
        return numbers
    new: dict[bytes, int] = {}
    identities = frame.series_ids()
    for index in absent:
        new.setdefault(identities[index], index)  # spellings of one series may both be in the dictionary
    state.admit(list(new), frame.series_keys(list(new.values())))
    return state.series.find(frame.ids)


def _settle(state: PartitionState, series: Ints, source: int, ordered: bool) -> None:
    """Note on which source partition series lie: one that keeps all of a series, in order, or many."""
    homes = state.series.columns["home"]
    if ordered:
        now = homes[series]
        if (now == source).all():
            return
        homes[series[now == NO_HOME]] = source
        homes[series[(now != NO_HOME) & (now != source)]] = MANY_HOMES
    else:
        homes[series] = MANY_HOMES


def _take_tick(state: PartitionState, tick: Tick, timing: Timing) -> None:
    """Note time and progress; samples whose watermark has come are ready."""
    state.clock_ms = max(state.clock_ms, tick.clock_ms)
    for name in tick.partitions:
        topic = state.topics.setdefault(name, TopicProgress())
        watermark = topic.apply(tick, name, timing)
        state.series.count_silence(name, topic.was_named, topic.partly_listened_ms())
        idle_ms = topic.idle_watermark()
        for flow in state.flows.values():
            patience_ms = 0 if flow.lateness_ms else timing.quiet_ms
            flow.advance(name, max(watermark, idle_ms - patience_ms))
    for name in [name for name, topic in state.topics.items() if topic.is_unnamed(tick.clock_ms)]:
        for flow in state.flows.values():
            flow.advance(name, EVERYTHING_MS)
        del state.topics[name]
        state.series.abandon(name)


def _judge(state: PartitionState, out: list[Signal]) -> None:
    for flow in state.flows.values():
        shadows.count(state, flow)
        flow.judge(state.series, out)


def _reached_ms(state: PartitionState, patience_ms: int, name: str) -> int:
    topic = state.topics[name]
    return max(topic.watermark_ms, topic.idle_watermark() - patience_ms)


def _look_for_silence(state: PartitionState, second: int, timing: Timing, out: list[Signal]) -> None:
    """Windows of silent series close, and silence is judged, by the time for which their topic was listened to."""
    state.looked_s = second
    now_ms = state.series.now_ms(state.listened_ms())
    for flow in state.flows.values():
        patience_ms = 0 if flow.lateness_ms else timing.quiet_ms
        until_ms = flow.until_ms(partial(_reached_ms, state, patience_ms))
        for lane in flow.lanes.values():
            lane.quiet(now_ms, until_ms, timing.quiet_ms, out)
    if second % _FORGET_EVERY_S == 0:
        state.forget_idle(timing.forget_ms)
