"""Aggregations over panes, against their definitions: whatever panes, pieces and order samples come in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.cases import AGGREGATIONS, examples
from tests.oracle.aggregates import aggregate, percentile

from tocsin.engine.evaluate.columns import Columns
from tocsin.engine.evaluate.panes import PaneTable
from tocsin.engine.evaluate.statistic import Run, Span
from tocsin.engine.evaluate.statistics import statistics_of
from tocsin.engine.evaluate.statistics.sketch import BUCKETS, Sketch

PANE_MS = 10_000
numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
points = st.lists(
    st.tuples(st.integers(0, 4 * PANE_MS - 1), numbers), min_size=1, max_size=40, unique_by=lambda p: p[0]
)


def folded(aggregation: str, samples: Sequence[tuple[int, float]], cuts: Sequence[int]) -> float:
    """The answer of four panes of which each got its samples in pieces."""
    table = PaneTable(statistics_of({aggregation}), 4)
    columns = Columns(table.spec())
    slot = np.zeros(1, np.int64)
    columns.add()
    for pane in range(4):
        inside = [one for one in samples if one[0] // PANE_MS == pane]
        edges = sorted({0, len(inside), *(cut % (len(inside) + 1) for cut in cuts)})
        for begin, end in pairwise(edges):
            at_ms, values = (np.array(column) for column in zip(*inside[begin:end], strict=True))
            run = Run(at_ms.astype(np.int64), values.astype(float), np.zeros(end - begin, np.int64), slot)
            held = table.held(columns, slot, np.array([pane]), np.array([begin > 0]))
            table.store(columns, slot, np.array([pane]), table.fold(run, held))
    span = Span(slot, slot + 4 * PANE_MS, np.array([len(samples)]))
    answers = table.answers(columns, slot, np.arange(4)[None, :], span, {aggregation})
    return float(answers[aggregation][0])


@examples(150)
@given(st.sampled_from(AGGREGATIONS), points, st.lists(st.integers(0, 40), max_size=4))
def test_aggregations_are_what_they_are_called(
    aggregation: str, given_points: list[tuple[int, float]], cuts: list[int]
) -> None:
    samples = sorted(given_points)
    expected = aggregate(aggregation, samples, 0, 4 * PANE_MS)
    found = folded(aggregation, samples, cuts)
    if expected is None:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-6)


@examples(150)
@given(st.sampled_from([*AGGREGATIONS, "p50", "p99.9"]), points, st.lists(st.integers(0, 40), max_size=4))
def test_pieces_give_the_same_bits_even_out_of_order(
    aggregation: str, given_points: list[tuple[int, float]], cuts: list[int]
) -> None:
    assert np.array_equal(folded(aggregation, given_points, []), folded(aggregation, given_points, cuts), True)


def allowed_error(values: Sequence[float]) -> float:
    """What the sketch's module states, by how far apart the values lie."""
    sizes = [abs(value) for value in values if abs(value) > 1e-12]
    if not sizes:
        return 0.0
    apart = max(1, max(values) / min(sizes)) * max(1, -min(values) / min(sizes))
    error, reach = 0.01, 150.0
    while apart > reach:
        error, reach = 2 * error, reach**2
    return error * 1.05


magnitudes = st.floats(-6, 6).map(lambda power: 10**power)
alike = st.lists(st.floats(1, 150), min_size=1, max_size=60)
apart = st.lists(magnitudes, min_size=1, max_size=60)
mixed = st.lists(st.one_of(magnitudes, magnitudes.map(lambda value: -value), st.just(0.0)), min_size=1, max_size=60)


@examples(200)
@given(st.one_of(alike, apart, mixed), st.sampled_from(["p0", "p1", "p50", "p90", "p99", "p99.9", "p100"]))
def test_percentiles_err_by_no_more_than_stated(values: list[float], aggregation: str) -> None:
    samples = [(index * 600, value) for index, value in enumerate(values)]
    found = folded(aggregation, samples, [3, 7])
    ranked = sorted(values)
    rank = float(aggregation[1:]) / 100 * (len(values) - 1)
    error = allowed_error(values)
    near = [ranked[math.floor(rank)], ranked[math.ceil(rank)]]
    room = error * max(map(abs, near)) + 1e-12
    assert abs(found - percentile(values, float(aggregation[1:]) / 100)) <= room
    assert min(values) <= found <= max(values)


HUGE = 1.7976931348623157e308
extremes = st.sampled_from([HUGE, -HUGE, 1e300, -1e300, 5e-324, -5e-324, 0.0, 1.0, -1.0])


@pytest.mark.filterwarnings("error::RuntimeWarning")
@examples(100)
@given(st.lists(extremes, min_size=1, max_size=12), st.sampled_from(["p0", "p1", "p50", "p90", "p99.9", "p100"]))
def test_percentiles_of_the_largest_and_smallest_values_lie_among_them(values: list[float], aggregation: str) -> None:
    found = folded(aggregation, [(index * 600, value) for index, value in enumerate(values)], [3, 7])
    assert min(values) <= found <= max(values)
    if len(set(values)) == 1:
        assert found == values[0]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("value", [1e300, -1e300, 5e-324, -5e-324, 0.0, HUGE, -HUGE])
def test_a_percentile_of_one_value_is_that_value(value: float) -> None:
    assert folded("p90", [(0, value)], []) == value
    assert folded("p90", [(0, value), (600, value), (20_000, value)], [1]) == value


def sketch_of(values: Sequence[float]) -> dict[str, Any]:
    sketch, nothing = Sketch(), np.zeros(1, np.int64)
    held = {"buckets": np.zeros((1, BUCKETS), np.uint32), "low": np.array([np.inf]), "high": np.array([-np.inf])}
    held["nearest"] = np.array([np.inf])
    if not values:
        return held
    run = Run(np.arange(len(values)), np.array(values), np.zeros(len(values), np.int64), nothing)
    return sketch.fold(run, held)


@examples(100)
@given(mixed, mixed)
def test_merged_sketches_are_those_of_all_samples(some: list[float], more: list[float]) -> None:
    merged, whole = Sketch().merge(sketch_of(some), sketch_of(more)), sketch_of([*more, *some])
    assert all(np.array_equal(merged[name], whole[name]) for name in merged)
