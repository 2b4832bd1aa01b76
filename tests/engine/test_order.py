"""The order in which samples come, and where they are cut, changes nothing; what comes too late is counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.cases import (
    BEGIN_MS,
    QUIET_MS,
    Sample,
    by_series,
    events_of,
    examples,
    message,
    played,
    rules,
    samples,
    timed,
    value_rules,
    wanted,
    without_places,
)

from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.pipeline import Pipeline, Shape
from tocsin.schemas.rule import Rule

LATENESS_MS = 4_000
places = st.lists(st.integers(0, 3), min_size=1, max_size=12)
delays = st.lists(st.integers(0, LATENESS_MS), min_size=1, max_size=30)
often = st.integers(1, 20)


def lanes_of(pipeline: Pipeline) -> list[Lane]:
    return [lane for state in pipeline._states for lane in state.lanes.values()]


def patient(rule: Rule, **more: Any) -> Rule:
    return Rule.model_validate({**rule.document(), "allowed_lateness": "4s", **more})


def delayed(
    rule: Rule,
    given_samples: Sequence[Sample],
    shape: Shape,
    where: Sequence[int] | None,
    late: Sequence[int],
    every: int,
) -> Pipeline:
    """Every sample comes some time after it was taken, so that they come in another order."""
    pipeline = Pipeline([rule], (), shape)
    come = sorted(
        (at_ms + late[index % len(late)], index, at_ms, sample)
        for index, (at_ms, sample) in enumerate(timed(given_samples))
    )
    clock_ms = BEGIN_MS
    for number, (clock_ms, index, at_ms, sample) in enumerate(come):
        key = str(sample.series).encode() if where is None else None
        partition = (sample.series if where is None else where[index % len(where)]) % shape.sources
        pipeline.publish(message(at_ms, sample), clock_ms, key, partition)
        if number % every == every - 1:
            pipeline.run(clock_ms)
    for _ in range(4):
        pipeline.run(clock_ms)
        clock_ms += QUIET_MS
    return pipeline


@examples(40)
@given(rules, samples, places, often, st.integers(1, 4), st.integers(1, 3))
def test_samples_spread_over_partitions_are_judged_as_the_model_does(
    rule: Rule, given_samples: list[Sample], where: list[int], every: int, sources: int, partitions: int
) -> None:
    pipeline = played(rule, given_samples, Shape(sources=sources, samples=partitions, run=3), where, every)
    assert by_series(pipeline.signals, given_samples) == wanted(rule, given_samples)


@examples(40)
@given(rules, samples, often, st.integers(1, 7), often)
def test_other_cuts_of_the_same_input_give_the_same_bytes(
    rule: Rule, given_samples: list[Sample], every: int, run: int, other: int
) -> None:
    one = played(rule, given_samples, Shape(sources=2, samples=3, run=run), every=every)
    assert events_of(one) == events_of(played(rule, given_samples, Shape(sources=2, samples=3), every=other))


@examples(40)
@given(rules, samples, st.one_of(st.none(), places), delays, often, st.integers(1, 4), st.integers(1, 3))
def test_samples_out_of_order_within_the_lateness_give_the_same_bytes(
    rule: Rule,
    given_samples: list[Sample],
    where: list[int] | None,
    late: list[int],
    every: int,
    sources: int,
    partitions: int,
) -> None:
    rule = patient(rule)
    shape = Shape(sources=sources, samples=partitions, run=5)
    shuffled = delayed(rule, given_samples, shape, where, late, every)
    in_order = delayed(rule, given_samples, Shape(), None, [0], 10)
    assert without_places(shuffled) == without_places(in_order)
    assert by_series(shuffled.signals, given_samples) == wanted(rule, given_samples)
    assert not any(lane.late for lane in lanes_of(shuffled))


@examples(40)
@given(value_rules(), samples, st.lists(st.integers(0, 60_000), min_size=1, max_size=30), st.booleans())
def test_what_comes_too_late_is_counted_and_kept_where_asked_for(
    rule: Rule, given_samples: list[Sample], late: list[int], keep: bool
) -> None:
    pipeline = delayed(patient(rule, keep_late=keep), given_samples, Shape(), None, late, 10)
    counted = sum(lane.late for lane in lanes_of(pipeline))
    assert len(pipeline.late) == (counted if keep else 0)


def test_a_sample_beyond_the_lateness_of_its_series_is_late() -> None:
    rule = Rule.model_validate(
        {"id": "r", "metric_type": "m", "threshold": 5, "allowed_lateness": "2s", "keep_late": True}
    )
    pipeline = Pipeline([rule])
    for at_ms, clock_ms, value in [(0, 0, 1.0), (5_000, 5_000, 2.0), (4_000, 8_000, 9.0), (9_000, 9_000, 3.0)]:
        pipeline.publish(message(BEGIN_MS + at_ms, Sample(0, 0, value)), BEGIN_MS + clock_ms)
    pipeline.run(BEGIN_MS + 60_000)
    (lane,) = lanes_of(pipeline)
    assert (lane.late, [(late.value, late.rules) for late in pipeline.late]) == (1, [(9.0, ["r"])])
    assert not pipeline.signals


@examples(40)
@given(rules, samples, often)
def test_an_alerts_events_count_and_alternate(rule: Rule, given_samples: list[Sample], every: int) -> None:
    pipeline = played(rule, given_samples, Shape(sources=2, samples=2), every=every)
    assert len({event.id for event in pipeline.events}) == len(pipeline.events)
    sequences: defaultdict[str, list[str]] = defaultdict(list)
    after = {
        "pending": ("firing", "pending"),
        "firing": ("resolved", "changed"),
        "changed": ("resolved", "changed"),
        "resolved": ("pending", "firing"),
    }
    for event in pipeline.events:
        types = sequences[event.fingerprint]
        assert event.type in after[types[-1] if types else "resolved"]
        types.append(event.type)
        assert event.sequence == len(types)


def test_a_late_sample_does_not_hide_that_its_series_falls_silent() -> None:
    rule = Rule.model_validate(
        {"id": "r", "metric_type": "m", "threshold": 5, "on_no_data": "alert", "no_data_after": "20s"}
    )
    pipeline = Pipeline([rule])
    for at_ms in (6_000, 2_000):
        pipeline.publish(message(BEGIN_MS + at_ms, Sample(0, 0, 1.0)), BEGIN_MS + 6_000)
        pipeline.run(BEGIN_MS + 7_000)
    pipeline.run(BEGIN_MS + 60_000)
    assert [(one.kind, one.at_ms - BEGIN_MS) for one in pipeline.signals] == [("firing", 26_000)]


@pytest.mark.parametrize("every", [1, 9])
def test_the_earliest_sample_of_a_series_tells_which_window_is_full(every: int) -> None:
    window = {"window": {"size": "1s"}, "aggregation": "max", "require_full_window": True}
    pipeline = Pipeline([Rule.model_validate({"id": "r", "metric_type": "m", "threshold": 5, **window})])
    pipeline.run(BEGIN_MS)
    for number, at_ms in enumerate((700, 0, 900, 1_500)):
        pipeline.publish(message(BEGIN_MS + at_ms, Sample(0, 0, 9.0)), BEGIN_MS + at_ms)
        if number % every == every - 1:
            pipeline.run(BEGIN_MS + 1_600)
    pipeline.run(BEGIN_MS + 2_000)
    assert [(one.kind, one.at_ms - BEGIN_MS) for one in pipeline.signals] == [("firing", 1_000)]
