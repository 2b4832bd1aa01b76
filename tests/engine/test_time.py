"""Our own lag, pauses and clocks are not the series' silence; one series, topic or rule does not hold up another."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.cases import BEGIN_MS, QUIET_MS, Sample, examples, message, rules, samples, timed
from tests.engine.test_checkpoint import book_of, log_of

from tocsin.engine import frame
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.evaluate.step import step
from tocsin.engine.frame import Frame, SourceProgress, Tick
from tocsin.engine.pipeline import METRICS, Pipeline, Shape
from tocsin.engine.standing import of_evaluate
from tocsin.engine.watermark import Timing
from tocsin.schemas.codec import encode
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

HOUR_MS = 3_600_000
AHEAD_MS = 30_000
Items = Sequence[Frame | Tick]
places = st.lists(st.integers(0, 1), min_size=1, max_size=8)
often = st.integers(1, 9)
late = st.sampled_from(["0s", "0s", "3s"])


def said(rule: Rule, items: Iterable[Frame | Tick]) -> dict[str, list[bytes]]:
    """The signals of each alert."""
    state, book = PartitionState(), book_of(rule)
    found: dict[str, list[bytes]] = {}
    for offset, item in enumerate(items):
        for one in step(state, [item], offset, book, Timing()).signals:
            found.setdefault(one.fingerprint, []).append(encode(one))
    return found


def with_rest(items: Items) -> list[Frame | Tick]:
    """Some more time, so that what was held back by a disturbance is said at last."""
    last = items[-1]
    assert isinstance(last, Tick)
    return [*items, *(msgspec.structs.replace(last, clock_ms=last.clock_ms + 1_000 * more) for more in range(1, 90))]


def lagging(tick: Tick, lag: int) -> Tick:
    return msgspec.structs.replace(
        tick, sources=tuple(msgspec.structs.replace(source, lag=lag) for source in tick.sources)
    )


def of_two_workers(items: Items, ahead_ms: int) -> list[Frame | Tick]:
    """As if the second source partition were read by a worker of its own, whose clock is ahead."""
    found: list[Frame | Tick] = []
    for item in items:
        if isinstance(item, Tick):
            ours = tuple(source for source in item.sources if source.partition == 0)
            theirs = tuple(source for source in item.sources if source.partition == 1)
            found.append(msgspec.structs.replace(item, sources=ours))
            found.append(msgspec.structs.replace(item, sources=theirs, clock_ms=item.clock_ms + ahead_ms))
        elif item.partition == 1:
            found.append(msgspec.structs.replace(item, clock_ms=item.clock_ms + ahead_ms))
        else:
            found.append(item)
    return found


def patient(rule: Rule, lateness: str) -> Rule:
    return Rule.model_validate({**rule.document(), "allowed_lateness": lateness})


@examples(40)
@given(rules, late, samples, places, often, st.sets(st.integers(0, 150), max_size=60))
def test_ticks_that_tell_of_lag_end_nothing_early(
    rule: Rule, lateness: str, given_samples: list[Sample], where: list[int], every: int, lags: set[int]
) -> None:
    rule = patient(rule, lateness)
    items = with_rest(log_of(rule, given_samples, where, every))
    disturbed = [
        lagging(item, 7) if isinstance(item, Tick) and index in lags else item for index, item in enumerate(items)
    ]
    assert said(rule, with_rest(disturbed)) == said(rule, with_rest(items))


@examples(40)
@given(rules, late, samples, places, often, st.dictionaries(st.integers(0, 150), st.sampled_from([-1, 1]), max_size=20))
def test_clocks_that_jump_end_nothing_early(
    rule: Rule, lateness: str, given_samples: list[Sample], where: list[int], every: int, jumps: dict[int, int]
) -> None:
    rule = patient(rule, lateness)
    items = with_rest(log_of(rule, given_samples, where, every))
    disturbed = [
        msgspec.structs.replace(item, clock_ms=item.clock_ms + HOUR_MS * jumps.get(index, 0))
        if isinstance(item, Tick)
        else item
        for index, item in enumerate(items)
    ]
    assert said(rule, with_rest(disturbed)) == said(rule, with_rest(items))


@examples(40)
@given(rules, late, samples, places, often)
def test_a_second_workers_clock_may_be_ahead(
    rule: Rule, lateness: str, given_samples: list[Sample], where: list[int], every: int
) -> None:
    rule = patient(rule, lateness)
    items = with_rest(log_of(rule, given_samples, where, every))
    assert said(rule, of_two_workers(items, AHEAD_MS)) == said(rule, items)


@examples(40)
@given(rules, late, samples, places, often, st.integers(1, 150), st.integers(1, 80))
def test_a_worker_that_stands_still_while_another_goes_on_changes_nothing(
    rule: Rule, lateness: str, given_samples: list[Sample], where: list[int], every: int, begin: int, length: int
) -> None:
    rule = patient(rule, lateness)
    items = with_rest(log_of(rule, given_samples, where, every))
    both = of_two_workers(items, 0)
    stretch = both[begin : begin + length]
    held = [item for item in stretch if _partition(item) == 1]
    others = [item for item in stretch if _partition(item) == 0]
    assert said(rule, with_rest([*both[:begin], *others, *held, *both[begin + length :]])) == said(
        rule, with_rest(both)
    )


def _partition(item: Frame | Tick) -> int:
    return item.partition if isinstance(item, Frame) else item.sources[0].partition


class Paused(Pipeline):
    """All of it can stand still while producers go on."""

    def pause(self, until_ms: int) -> None:
        self._clock_ms = until_ms - self._shape.tick_ms


@examples(40)
@given(rules, late, samples, places, st.integers(1, 60), st.integers(0, 60), st.integers(1, 9))
def test_ten_minutes_of_standing_still_change_nothing(
    rule: Rule, lateness: str, given_samples: list[Sample], where: list[int], every: int, stop: int, run: int
) -> None:
    rule = patient(rule, lateness)
    found = []
    for pauses in (False, True):
        pipeline = Paused([rule], (), Shape(sources=2, run=run))
        clock_ms = BEGIN_MS
        for index, (at_ms, sample) in enumerate(timed(given_samples)):
            pipeline.publish(message(at_ms, sample), at_ms, None, where[index % len(where)])
            clock_ms = at_ms
            if (index < stop or not pauses) and index % every == every - 1:
                pipeline.run(clock_ms)
        if pauses:
            clock_ms += 600_000
            pipeline.pause(clock_ms)
        for _ in range(5):
            pipeline.run(clock_ms)
            clock_ms += QUIET_MS
        by_alert: dict[str, list[bytes]] = {}
        for event in pipeline.events:
            by_alert.setdefault(event.fingerprint, []).append(encode(event))
        found.append(by_alert)
    assert found[0] == found[1]


def rule_of(**more: Any) -> Rule:
    return Rule.model_validate({"id": "r", "metric_type": "m", "threshold": 5, **more})


def test_a_producer_ahead_of_time_spoils_only_its_own_series() -> None:
    pipeline = Pipeline([rule_of(window={"size": "10s"}, aggregation="max")], (), Shape(sources=2))
    for second in range(60):
        now_ms = BEGIN_MS + second * 1_000
        pipeline.publish(message(now_ms + 540_000, Sample(9, 0, 1.0)), now_ms, None, second % 2)
        pipeline.publish(message(now_ms, Sample(0, 0, 9.0 if 20 <= second < 30 else 1.0)), now_ms, None, second % 2)
        pipeline.run(now_ms)
    base = BEGIN_MS // 10_000 * 10_000
    assert [(one.kind, one.at_ms - base) for one in pipeline.signals] == [("firing", 30_000), ("ended", 40_000)]
    assert not any(lane.late for lane in pipeline._states[0].lanes.values())


def test_a_rules_lateness_does_not_delay_another_rule_on_the_series() -> None:
    patient_rule = Rule.model_validate({**rule_of(allowed_lateness="5m").document(), "id": "patient"})
    pipeline = Pipeline([rule_of(), patient_rule])
    pipeline.publish(message(BEGIN_MS, Sample(0, 0, 9.0)), BEGIN_MS)
    pipeline.run(BEGIN_MS + 1_000)
    assert [one.rule_id for one in pipeline.signals] == ["r"]
    pipeline.run(BEGIN_MS + 299_000)
    assert [one.rule_id for one in pipeline.signals] == ["r"]
    pipeline.run(BEGIN_MS + 305_000)  # nothing came since
    assert [one.rule_id for one in pipeline.signals] == ["r", "patient"]


def ticked(clock_ms: int, positions: dict[int, int], names: Sequence[str], offset: int = 1) -> Tick:
    sources = tuple(SourceProgress(METRICS, at, position, clock_ms, 0) for at, position in positions.items())
    return Tick(clock_ms, offset, sources, dict.fromkeys(names, len(positions)))


def test_a_topic_that_is_no_longer_read_holds_nothing_back() -> None:
    rule = rule_of(window={"size": "10s"}, aggregation="max")
    shape = Shape(sources=2)
    pipeline = Pipeline([rule], (), shape)
    pipeline.publish(message(BEGIN_MS, Sample(0, 0, 9.0)), BEGIN_MS, None, 0)
    pipeline._run_tick(BEGIN_MS)  # the second partition has not been still for long enough
    state = pipeline._states[0]
    assert not pipeline.signals
    found: list[Signal] = []
    for second in range(1, 80):
        tick = Tick(BEGIN_MS + second * 1_000, state.plan.offset, (), {"other": 1})
        found += step(state, [tick], state.offset + 1, pipeline._book, Timing()).signals
    assert METRICS not in state.topics
    assert not state.flows[0].waiting[METRICS]


def test_a_partition_that_is_never_read_to_its_end_lets_idle_ones_follow() -> None:
    pipeline = Pipeline([rule_of()], (), Shape(sources=2))
    pipeline.publish(message(BEGIN_MS, Sample(0, 0, 9.0)), BEGIN_MS, None, 0)
    pipeline._run_tick(BEGIN_MS)
    state = pipeline._states[0]
    for second in range(1, 6):
        sources = SourceProgress(METRICS, 0, 1, BEGIN_MS, 5), SourceProgress(METRICS, 1, 0, -(2**62), 0)
        tick = Tick(BEGIN_MS + second * 1_000, state.plan.offset, sources, {METRICS: 2})
        pipeline.signals += step(state, [tick], state.offset + 1, pipeline._book, Timing()).signals
    assert [one.kind for one in pipeline.signals] == ["firing"]


def test_silence_is_not_counted_before_a_sample_came() -> None:
    """Between two ticks a sample may come late: its series has been silent only since then."""
    rule = Rule.model_validate({"id": "gone", "metric_type": "m", "condition": "absence", "absence": {"after": "5s"}})
    pipeline = Pipeline([rule])
    for at_ms in (0, 1_900, 6_500):
        value = {"name": "m", "value": 1.0, "timestamp": BEGIN_MS + at_ms, "labels": {}}
        pipeline.publish(json.dumps(value).encode(), BEGIN_MS + at_ms)
    pipeline.run(BEGIN_MS + 10_000)
    assert not pipeline.signals
    pipeline.run(BEGIN_MS + 14_000)
    assert [(one.kind, one.at_ms - BEGIN_MS) for one in pipeline.signals] == [("firing", 11_500)]


def test_jumps_of_a_clock_between_quick_ticks_add_no_silence() -> None:
    rule = Rule.model_validate({"id": "gone", "metric_type": "m", "condition": "absence", "absence": {"after": "5s"}})
    pipeline = Pipeline([rule])
    pipeline.publish(message(BEGIN_MS, Sample(0, 0, 1.0)), BEGIN_MS)
    pipeline._run_tick(BEGIN_MS)
    state, said_at = pipeline._states[0], []
    for tenth in range(1, 70):
        jump_ms = HOUR_MS if tenth % 7 == 0 else 0
        source = SourceProgress(METRICS, 0, 1, BEGIN_MS, 0)
        tick = Tick(BEGIN_MS + 100 * tenth + jump_ms, state.plan.offset, (source,), {METRICS: 1})
        said_at += [100 * tenth for _ in step(state, [tick], state.offset + 1, pipeline._book, Timing()).signals]
    assert len(said_at) == 1
    assert 4_900 <= said_at[0] <= 6_000  # a jump counts as one tick more until the clock is back


def test_silence_counts_from_a_tick_of_the_worker_that_read_the_sample() -> None:
    """A tick of another one, between the two, does not say when the sample came."""
    rule = Rule.model_validate({"id": "gone", "metric_type": "m", "condition": "absence", "absence": {"after": "1s"}})
    pipeline = Pipeline([rule], (), Shape(sources=2))
    for second in range(3):
        now_ms = BEGIN_MS + second * 1_000
        pipeline.publish(message(now_ms, Sample(0, 0, 1.0)), now_ms, None, 0)
        pipeline.run(now_ms)
        pipeline.signals.clear()
    frames = [item for item in map(frame.decode, _samples_of(pipeline)) if isinstance(item, Frame)]
    state, late_ms = pipeline._states[0], BEGIN_MS + 2_950
    late = msgspec.structs.replace(frames[-1], base_offset=3, at_ms=np.array([late_ms]).tobytes(), clock_ms=late_ms)
    others = Tick(late_ms, state.plan.offset, (), {METRICS: 2})
    both = ticked(late_ms + 60, {0: 4, 1: 0}, [METRICS], state.plan.offset)
    said_now = step(state, [late, others, both], state.offset + 3, pipeline._book, Timing()).signals
    assert [one.kind for one in said_now if one.at_ms > late_ms] == []


def _samples_of(pipeline: Pipeline) -> list[bytes]:
    return [record.value or b"" for record in pipeline.log.read("samples", 0)]


@examples(25)
@given(samples, late, places, often)
def test_a_mark_does_not_speak_of_samples_that_wait(
    given_samples: list[Sample], lateness: str, where: list[int], every: int
) -> None:
    rule = Rule.model_validate(
        {"id": "r", "metric_type": "m", "operator": "gt", "threshold": 0, "match": ['series=~"0|1"']}
    )
    rule = patient(rule, lateness)
    state, book, passed_ms = PartitionState(), book_of(rule), 0
    for offset, item in enumerate(with_rest(log_of(rule, given_samples, where, every))):
        fired = [one for one in step(state, [item], offset, book, Timing()).signals if one.kind == "firing"]
        assert all(one.at_ms > passed_ms for one in fired)
        if standing := of_evaluate(state, Timing()):
            passed_ms = standing.watermark_ms - max((one.ms for one in standing.late), default=0)
