"""Evaluate's step: records of one samples partition in, signals out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.samples import Samples, release
from tocsin.engine.evaluate.series import MANY_HOMES, NO_HOME, UNWATCHED
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.frame import Frame, Ints, Tick
from tocsin.engine.watermark import TopicProgress
from tocsin.schemas.signal import Signal


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a source partition may be silent before it holds nothing back, and a series before its windows close."""

    idle_ms: int = 500
    quiet_ms: int = 5_000


def step(
    state: PartitionState, items: Sequence[Frame | Tick], end: int, book: RuleBook, timing: Timing
) -> list[Signal]:
    """Apply consecutive records, the last of which lies at offset `end`; `book` must reach every tick's rules offset.

    The signals, and the state, are the same however the records are handed over.
    """
    out: list[Signal] = []
    ready: list[Samples] = []
    for item in items:
        if isinstance(item, Frame):
            ready += _take_frame(state, item)
            continue
        if item.rules_offset > state.plan.offset:
            _judge(state, ready, out)
            ready = []
            assert book.end >= item.rules_offset, f"rules known to {book.end}, wanted to {item.rules_offset}"
            out += state.adopt(book.plan_after(state.plan, item.rules_offset), item.clock_ms)
        ready += _take_tick(state, item, timing)
        if item.clock_ms // 1_000 != state.looked_s:
            _judge(state, ready, out)
            ready = []
            _close_quiet(state, item.clock_ms, timing, out)
    _judge(state, ready, out)
    state.offset = end
    return out


def _take_frame(state: PartitionState, frame: Frame) -> list[Samples]:
    """Note a frame's samples; returns those that may be judged now, in order."""
    topic = state.topics.setdefault(frame.topic, TopicProgress())
    source = topic.source(frame.partition)
    offsets = np.frombuffer(frame.offsets, np.uint32).astype(np.int64) + frame.base_offset
    at_ms = np.frombuffer(frame.at_ms, np.int64)
    values = np.frombuffer(frame.values, np.float64)
    series = _numbers(state, frame)[np.frombuffer(frame.series, np.uint32)]
    if offsets[0] <= source.applied:
        fresh = offsets > source.applied
        offsets, at_ms, values, series = offsets[fresh], at_ms[fresh], values[fresh], series[fresh]
        if not len(series):
            return []
    source.applied = int(offsets[-1])
    rising = topic.rising(frame.partition, at_ms)
    number = state.source_number(frame.topic, frame.partition)
    samples = Samples(series, at_ms, values, np.full(len(series), number, np.int64), offsets)
    arrival = np.arange(len(series))
    watched = series != UNWATCHED
    if not watched.all():
        samples, arrival = samples.take(watched), arrival[watched]
    state.series.columns["arrived"][samples.series] = frame.clock_ms
    waiting = state.waiting.get(frame.topic) or Samples.none()
    direct = _in_order_as_it_comes(state, samples.series, number, frame.keyed or topic.partitions == 1)
    if direct.all():
        if not len(waiting):
            return [samples]
        straight, samples, arrival = samples, Samples.none(), arrival[:0]
    else:
        straight, samples, arrival = samples.take(direct), samples.take(~direct), arrival[~direct]
    due = Samples.join([waiting, samples])
    due_ms = due.at_ms + state.series.columns["lateness"][due.series]
    released, state.waiting[frame.topic] = release(waiting, samples, due_ms, rising, arrival)
    return [part for part in (straight, released) if len(part)]


def _numbers(state: PartitionState, frame: Frame) -> Ints:
    known = state.series.numbers
    identities = frame.series_ids()
    try:
        return np.array([known[identity] for identity in identities], np.int64)
    except KeyError:
        for index, identity in enumerate(identities):
            if identity not in known:
                state.admit(identity, *frame.key(index))
        return np.array([known[identity] for identity in identities], np.int64)


def _in_order_as_it_comes(
    state: PartitionState, series: Ints, source: int, ordered: bool
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which samples need not wait for other partitions: the producer keeps their series on this one, in order."""
    homes = state.series.columns["home"]
    if ordered:
        now = homes[series]
        if (now == source).all():
            return np.asarray(state.series.columns["lateness"][series] == 0)
        homes[series[now == NO_HOME]] = source
        homes[series[(now != NO_HOME) & (now != source)]] = MANY_HOMES
    else:
        homes[series] = MANY_HOMES
    state.series.columns.touch(series)
    return np.asarray((homes[series] == source) & (state.series.columns["lateness"][series] == 0))


def _take_tick(state: PartitionState, tick: Tick, timing: Timing) -> list[Samples]:
    """Note time and progress; returns the samples whose watermark has come."""
    state.clock_ms = max(state.clock_ms, tick.clock_ms)
    ready = []
    for name in tick.partitions:
        topic = state.topics.setdefault(name, TopicProgress())
        watermark = topic.apply(tick, name, timing.idle_ms)
        waiting = state.waiting.get(name)
        if waiting is not None and len(waiting):
            due_ms = waiting.at_ms + state.series.columns["lateness"][waiting.series]
            nothing = np.empty(0, np.int64)
            released, state.waiting[name] = release(
                waiting, Samples.none(), due_ms, np.array([watermark], np.int64), nothing
            )
            if len(released):
                ready.append(released)
    return ready


def _judge(state: PartitionState, ready: Sequence[Samples], out: list[Signal]) -> None:
    if not ready:
        return
    samples = Samples.join(ready)
    narrow = samples.series.astype(np.uint16) if state.series.columns.count < 2**16 else samples.series
    samples = samples.take(np.argsort(narrow, kind="stable"))
    for lane in state.lanes.values():
        lane.take(samples, out)


def _close_quiet(state: PartitionState, clock_ms: int, timing: Timing, out: list[Signal]) -> None:
    """Windows of silent series close by the clock, but only while nothing is left to read: lag is not silence."""
    state.looked_s = clock_ms // 1_000
    if all(topic.caught_up() for topic in state.topics.values()):
        for lane in state.lanes.values():
            lane.quiet(clock_ms, timing.quiet_ms, out)
