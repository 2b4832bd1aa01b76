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
