"""Figures of groups: the same in any order and any pieces, and right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.group_oracle import Sample, aggregate

from tocsin.engine.evaluate.pane_rows import PaneRows
from tocsin.engine.evaluate.statistic import Run, Span
from tocsin.engine.evaluate.statistics import mergeable_of
from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.rule import quantile_of

AGGREGATIONS = [
    "avg",
    "min",
    "max",
    "sum",
    "count",
    "first",
    "last",
    "stddev",
    "rate",
    "increase",
    "delta",
    "p0",
    "p75",
]
_PANE_MS = 1_000
bounded = settings(max_examples=120, deadline=None)
finite = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0)  # no negative zero
plain = st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-9)


def run_of(at_ms: Sequence[int], values: Sequence[float], before: Sequence[float]) -> Run:
    one = np.zeros(len(values), np.int64)
    return Run(np.array(at_ms, np.int64), np.array(values), one, np.zeros(1, np.int64), np.array(before))


def answered(name: str, rows: PaneRows, row: Ints, count: int) -> float:
    statistic = mergeable_of(name)
    figures = {figure: values[:, None] for figure, values in rows.figures(row, statistic.figures).items()}
    span = Span(np.zeros(1, np.int64), np.full(1, _PANE_MS), np.full(1, count))
    found: Floats = statistic.answer(name, figures, span)
    return float(found[0])


def gathered(name: str, pieces: Sequence[Sequence[tuple[int, float, float]]], partitions: int) -> tuple[Any, float]:
    """The figures of one pane, of which each partition folds some pieces; then all are merged."""
    shares = [PaneRows([name], _PANE_MS) for _ in range(partitions)]
    whole = PaneRows([name], _PANE_MS)
    zero = np.zeros(1, np.int64)
    for index, piece in enumerate(pieces):
        share = shares[index % partitions]
        share.fold(share.place(zero, zero), run_of(*zip(*piece, strict=True)))
    for share in shares:
        if share.starts():
            for statistic, own in share.statistics.items():
                figures = share.figures(share.rows_at(0, zero), own.figures)
                whole.merge(whole.place(zero, zero), statistic, figures)
    return whole.pack()["figures"], answered(name, whole, whole.rows_at(0, zero), sum(map(len, pieces)))


@pytest.mark.parametrize("name", AGGREGATIONS)
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 99), finite, finite), min_size=1, max_size=30), st.randoms(), st.integers(1, 3)
)
def test_figures_do_not_depend_on_order_and_pieces(
    name: str, given_samples: list[tuple[int, float, float]], chance: Random, partitions: int
) -> None:
    shuffled = given_samples.copy()
    chance.shuffle(shuffled)
    cuts = sorted({0, len(shuffled), *(chance.randrange(len(shuffled) + 1) for _ in range(3))})
    pieces = [shuffled[begin:end] for begin, end in pairwise(cuts)]
    figures, value = gathered(name, [given_samples], 1)
    other_figures, other_value = gathered(name, pieces, partitions)
    assert figures == other_figures
    assert value == other_value or math.isnan(value)


@bounded
@given(st.lists(finite, min_size=1, max_size=40))
def test_a_sum_is_that_of_fractions_rounded_once(values: list[float]) -> None:
    _, found = gathered("sum", [[(0, value, math.nan) for value in values]], 1)
    exact = sum(map(Fraction, values), Fraction())
    if abs(exact) > Fraction(1.79e308):
        return
    dropped = len(values) * Fraction(max(map(abs, values))) / 2**130
    assert abs(Fraction(found) - exact) <= Fraction(math.ulp(float(exact))) + dropped


@pytest.mark.parametrize(
    "values", [[1e16, 1.0, -1e16], [0.1] * 10, [1e-30, 1.0, -1.0], [3e23, 1.0, -3e23], [5e-324] * 3]
)
def test_nothing_is_lost_beside_large_values(values: list[float]) -> None:
    _, found = gathered("sum", [[(0, value, math.nan)] for value in values], 2)
    assert found == float(sum(map(Fraction, values), Fraction()))


@pytest.mark.parametrize("name", AGGREGATIONS)
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), plain, st.none() | plain), min_size=1, max_size=25))
def test_figures_answer_by_definition(name: str, given_samples: list[tuple[int, float, float | None]]) -> None:
    samples = [(Sample(at_ms, value, ()), before) for at_ms, value, before in given_samples]
    wanted = aggregate(name, samples, _PANE_MS)
    piece = [(s.at_ms, s.value, math.nan if before is None else before) for s, before in samples]
    _, found = gathered(name, [piece], 1)
    if quantile_of(name) is None:
        assert found == pytest.approx(wanted, rel=1e-15, abs=1e-12 if name == "stddev" else 0.0)
        return
    values = [value for _, value, _ in given_samples]
    assert min(values) <= found <= max(values)
    if all(value > 0 for value in values) and max(values) <= 25_000 * min(values):
        assert found == pytest.approx(wanted, rel=0.021)


def test_a_statistic_that_is_asked_for_later_begins_with_new_panes() -> None:
    rows = PaneRows(["sum"], _PANE_MS)
    rows.place(np.array([3, 5]), np.array([0, 1_000]))
    later = rows.asked_for(["sum", "max"])
    assert later.is_complete("exact_total", 0)
    assert [later.is_complete("highest", start) for start in (0, 1_000, 2_000)] == [False, False, True]
    assert later.groups_at(1_000).tolist() == [5]


def test_rows_of_panes_that_are_over_are_used_again() -> None:
    rows = PaneRows(["sum"], _PANE_MS)
    for start in range(0, 100_000, _PANE_MS):
        rows.place(np.arange(50), np.full(50, start))
        rows.drop(start - _PANE_MS)
    assert len(rows.groups_at(99_000)) == 50
    assert rows._columns.count <= 100
