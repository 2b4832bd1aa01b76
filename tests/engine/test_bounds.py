"""How many series a rule watches, and for how long one is remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.cases import BEGIN_MS, Sample, examples, message, rules, samples

from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.pipeline import Pipeline
from tocsin.engine.watermark import Timing
from tocsin.schemas.codec import encode
from tocsin.schemas.rule import Rule

FORGET_MS = 300_000
UNTIL_FORGOTTEN_MS = FORGET_MS + 120_000


def rule_of(**more: Any) -> Rule:
    return Rule.model_validate({"id": "r", "metric_type": "m", "threshold": 5, **more})


def publish(pipeline: Pipeline, at_ms: int, series: int, value: float) -> None:
    pipeline.publish(message(at_ms, Sample(series, 0, value)), at_ms, str(series).encode())


def lane_of(pipeline: Pipeline) -> Lane:
    (lane,) = pipeline._states[0].lanes.values()
    return lane


def test_series_beyond_the_bound_are_counted_and_the_admitted_go_on() -> None:
    pipeline = Pipeline([rule_of(max_series=2)])
    for second in range(4):
        for series in range(5):
            publish(pipeline, BEGIN_MS + second * 1_000 + series, series, 9.0 if second == 2 else 1.0)
    pipeline.run(BEGIN_MS + 10_000)
    assert lane_of(pipeline).refused.now.count() == 3
    assert [(one.labels["series"], one.kind) for one in pipeline.signals] == [
        ("0", "firing"), ("0", "ended"), ("1", "firing"), ("1", "ended"),
    ]  # fmt: skip


def test_a_refused_series_is_admitted_when_another_was_forgotten() -> None:
    pipeline = Pipeline([rule_of(max_series=1)], timing=Timing(forget_ms=FORGET_MS))
    publish(pipeline, BEGIN_MS, 0, 1.0)
    publish(pipeline, BEGIN_MS + 1, 1, 9.0)
    pipeline.run(BEGIN_MS + UNTIL_FORGOTTEN_MS)
    assert not [one for one in pipeline.signals if one.rule_id == "r"]
    publish(pipeline, BEGIN_MS + UNTIL_FORGOTTEN_MS + 1, 1, 9.0)
    pipeline.run(BEGIN_MS + UNTIL_FORGOTTEN_MS + 2_000)
    found = [(one.labels["series"], one.kind) for one in pipeline.signals if one.rule_id == "r"]
    assert found == [("1", "firing")]


def test_a_series_that_fires_is_not_forgotten() -> None:
    pipeline = Pipeline([rule_of()], timing=Timing(forget_ms=FORGET_MS))
    publish(pipeline, BEGIN_MS, 0, 9.0)
    pipeline.run(BEGIN_MS + UNTIL_FORGOTTEN_MS)
    publish(pipeline, BEGIN_MS + UNTIL_FORGOTTEN_MS + 1, 0, 1.0)
    pipeline.run(BEGIN_MS + UNTIL_FORGOTTEN_MS + 2_000)
    assert [one.kind for one in pipeline.signals] == ["firing", "ended"]


def test_waiting_samples_of_a_series_that_a_new_rule_does_not_watch_are_nobody_elses() -> None:
    """The number of a series that is watched no more is the next one's; what waits for its lateness must not be."""
    patient = {"window": {"size": "10s"}, "aggregation": "max", "allowed_lateness": "1m"}
    other = Rule.model_validate({"id": "other", "metric_type": "n", "threshold": 5, **patient})
    pipeline = Pipeline([rule_of(**patient), other])
    publish(pipeline, BEGIN_MS, 0, 9.0)
    pipeline.run(BEGIN_MS + 1_000)
    pipeline.put_rule(rule_of(**patient, match={"series": "1"}))
    publish(pipeline, BEGIN_MS + 2_000, 1, 1.0)
    pipeline.run(BEGIN_MS + 200_000)
    assert not pipeline.signals


def played_from(pipeline: Pipeline, begin_ms: int, given_samples: Sequence[Sample]) -> dict[str, list[bytes]]:
    """Publish and run; what was said of it, by series, without the place at which a sample lay."""
    at_ms, already = begin_ms, len(pipeline.signals)
    for sample in given_samples:
        at_ms += sample.gap_ms
        publish(pipeline, at_ms, sample.series, sample.value)
    pipeline.run(at_ms + 120_000)
    found: dict[str, list[bytes]] = {}
    for one in pipeline.signals[already:]:
        bare = msgspec.structs.replace(one, evidence=msgspec.structs.replace(one.evidence, offset=None))
        found.setdefault(one.labels["series"], []).append(encode(bare))
    return found


@examples(40)
@given(rules, samples, samples, st.integers(0, 4))
def test_a_forgotten_series_comes_back_as_new_and_leaves_nothing_to_others(
    rule: Rule, first: list[Sample], second: list[Sample], shift: int
) -> None:
    timing = Timing(forget_ms=FORGET_MS)
    pipeline = Pipeline([rule], timing=timing)
    played_from(pipeline, BEGIN_MS, first)
    begin_ms = BEGIN_MS + 600_000 + UNTIL_FORGOTTEN_MS
    pipeline.run(begin_ms)
    table = pipeline._states[0].series
    kept = {table.describe(number)[1]["series"] for number in table.all()}
    moved = [replace(sample, series=sample.series + shift) for sample in second]
    found = played_from(pipeline, begin_ms, moved)
    new = Pipeline([rule], timing=timing)
    new.run(begin_ms)
    expected = played_from(new, begin_ms, moved)
    for series in expected.keys() | found.keys() - kept:
        if series not in kept:
            assert found.get(series) == expected.get(series)
