"""Every kind of window, aggregation and condition on single series, against the model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.engine.cases import (
    Sample,
    absence_rules,
    by_series,
    change_rules,
    examples,
    played,
    samples,
    steady,
    trend_rules,
    value_rules,
    wanted,
)

from tocsin.engine.pipeline import Shape
from tocsin.schemas.rule import Rule

every = st.integers(1, 20)


@examples(100)
@given(value_rules(), samples, every)
def test_thresholds_and_ranges_are_judged_as_the_model_does(
    rule: Rule, given_samples: list[Sample], often: int
) -> None:
    pipeline = played(rule, given_samples, Shape(sources=2), every=often)
    assert by_series(pipeline.signals, given_samples) == wanted(rule, given_samples)
    assert not pipeline.dead


@examples(40)
@given(absence_rules(), st.one_of(samples, steady), every)
def test_absence_is_judged_as_the_model_does(rule: Rule, given_samples: list[Sample], often: int) -> None:
    pipeline = played(rule, given_samples, Shape(sources=2), every=often)
    assert by_series(pipeline.signals, given_samples) == wanted(rule, given_samples)


@examples(40)
@given(change_rules(), st.one_of(samples, steady), every)
def test_changes_are_judged_as_the_model_does(rule: Rule, given_samples: list[Sample], often: int) -> None:
    pipeline = played(rule, given_samples, Shape(sources=2), every=often)
    assert by_series(pipeline.signals, given_samples) == wanted(rule, given_samples)


@examples(40)
@given(trend_rules(), steady, every)
def test_trends_are_judged_as_the_model_does(rule: Rule, given_samples: list[Sample], often: int) -> None:
    pipeline = played(rule, given_samples, Shape(sources=2), every=often)
    assert by_series(pipeline.signals, given_samples) == wanted(rule, given_samples)


def test_a_cooldown_holds_back_no_milder_level_of_an_alert_that_fires() -> None:
    levels = [{"severity": "warning", "threshold": 1}, {"severity": "critical", "threshold": 5}]
    rule = Rule.model_validate({"id": "r", "metric_type": "m", "cooldown": "1h", "levels": levels})
    given_samples = [Sample(0, 1_000, value) for value in (2.0, 0.0, 9.0, 9.0, 2.0, 9.0, 0.0, 2.0)]
    pipeline = played(rule, given_samples, Shape())
    assert by_series(pipeline.signals, given_samples) == wanted(rule, given_samples)
    assert [(one.kind, one.level) for one in pipeline.signals] == [
        ("firing", 0), ("ended", 0), ("firing", 1), ("changed", 0), ("changed", 1), ("ended", 1), ("pending", 0),
    ]  # fmt: skip
