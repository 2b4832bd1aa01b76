"""Detectors: the same however their input is cut, and quiet where nothing happens; and how good the default is."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.engine.evaluate.columns import CHUNK, Columns
from tocsin.engine.evaluate.detector import rounds
from tocsin.engine.evaluate.detectors import DETECTORS, tails
from tocsin.engine.evaluate.detectors.ensemble import Ensemble
from tocsin.engine.evaluate.detectors.rarity import Rarity
from tocsin.engine.evaluate.detectors.season import DAY_S, WEEK_S, Habits, phase_s
from tocsin.engine.evaluate.detectors.seasonal import Seasonal

STEPS = 400
each_detector = pytest.mark.parametrize("name", DETECTORS)


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise", divide="raise"):
        warnings.simplefilter("error")
        yield


def detector(series: int, name: str = "ensemble") -> Rarity:
    made = DETECTORS[name]()
    made.columns.add(series)
    return made


def noise(seed: int, series: int, steps: int = STEPS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = 100 + np.cumsum(rng.standard_normal((steps, series)), axis=0) * 0.1 + rng.standard_normal((steps, series))
    values[steps * 3 // 4 :: 37] += 30
    return np.asarray(values)


def watch(made: Rarity, values: np.ndarray, first: int = 0, interval_s: float = 300.0) -> np.ndarray:
    every = np.arange(values.shape[1])
    at_s = [np.full(len(every), 1e9 + (first + row) * interval_s) for row in range(len(values))]
    return np.stack([made.look(every, at, row).score for at, row in zip(at_s, values, strict=True)])


def saved(made: Rarity) -> Rarity:
    again = type(made)()
    for chunk in range(-(-made.columns.count // CHUNK)):
        again.columns.unpack(chunk, made.columns.pack(chunk))
    return again


@each_detector
def test_a_series_takes_at_most_four_kibibytes(name: str) -> None:
    assert sum(array[:1].nbytes for array in detector(1, name).columns.arrays.values()) <= 4096


@each_detector
@given(st.integers(0, 2**32), st.integers(1, 40))
@settings(max_examples=2, deadline=None)
def test_scores_do_not_depend_on_which_series_share_a_call(name: str, seed: int, series: int) -> None:
    values = noise(seed, series)
    together = watch(detector(series, name), values)
    apart = detector(series, name)
    rng = np.random.default_rng(seed)
    for number, (row, expected) in enumerate(zip(values, together, strict=True)):
        got = np.zeros(series)
        for part in np.array_split(rng.permutation(series), rng.integers(1, 4)):
            if len(part):
                at_s = np.full(len(part), 1e9 + number * 300.0)
                got[part] = apart.look(part, at_s, row[part]).score
        assert (got == expected).all()


@each_detector
@given(st.integers(0, 2**32), st.integers(1, STEPS - 1))
@settings(max_examples=2, deadline=None)
def test_a_restart_changes_nothing(name: str, seed: int, cut: int) -> None:
    values = noise(seed, 3)
    whole = watch(detector(3, name), values)
    made = detector(3, name)
    before = watch(made, values[:cut])
    after = watch(saved(made), values[cut:], cut)
    assert (np.concatenate((before, after)) == whole).all()


def test_equal_input_leaves_equal_state() -> None:
    one, other = detector(4), detector(4)
    watch(one, noise(1, 4))
    watch(other, noise(1, 4))
    assert one.columns.pack(0) == other.columns.pack(0)


def test_tails_that_begin_otherwise_read_no_figures_of_each_other() -> None:
    layouts = {Columns(tails.spec(1, tails.Prior(0.0, excess))).layout for excess in (0.4, 1.0, 2.0)}
    assert len(layouts) == 3


@each_detector
def test_a_constant_series_is_never_strange(name: str) -> None:
    values = np.array([0.0, 1.0, -5.0, 1e300, -1.7e308, 1e-300, 5e-324])
    assert (watch(detector(len(values), name), np.tile(values, (STEPS, 1))) == 0).all()


@each_detector
def test_the_unit_of_a_series_does_not_matter(name: str) -> None:
    units = np.array([1.0, 1e-300, 1e-12, 1e9, 1e300])
    values = noise(3, 4)[:, None] * units[:, None]
    scores = watch(detector(4 * len(units), name), values.reshape(STEPS, -1), interval_s=900.0)
    strange = scores.reshape(values.shape) > 1
    assert strange[:, 0].any()
    assert (strange == strange[:, :1]).mean() > 0.999


@each_detector
def test_a_leap_from_tiny_to_huge_does_not_overflow(name: str) -> None:
    values = np.where(np.arange(STEPS) < STEPS // 2, 1e-300, 1.7e308)[:, None] * np.array([1.0, -1.0])
    assert np.isfinite(watch(detector(2, name), values)).all()


@each_detector
def test_nothing_is_strange_before_it_is_warm(name: str) -> None:
    assert (watch(detector(8, name), noise(5, 8)[:119]) == 0).all()


def burst(length: int, height: float) -> np.ndarray:
    values = 100 + np.random.default_rng(21).standard_normal((1330, 8))
    values[1300 : 1300 + length] += height
    return np.asarray(values)


@pytest.mark.parametrize(
    ("name", "length", "height", "within"),
    [("change_point", 80, 2.5, 30), ("extremes", 1, 9.0, 1), ("holt_winters", 1, 9.0, 1), ("neighbours", 12, 6.0, 18)],
)
def test_each_detector_finds_what_it_is_for(name: str, length: int, height: float, within: int) -> None:
    scores = watch(detector(8, name), burst(length, height))
    rare = np.log1p(10)
    assert (scores[1300 : 1300 + within] > rare).any(axis=0).mean() >= 0.75
    assert (scores[800:1300].reshape(10, 50, 8) > rare).any(axis=1).sum() <= 6  # of 14 days of series


@pytest.mark.parametrize("kept", [0.0, 0.6])
def test_sums_alarm_no_more_in_the_first_days_than_such_rarity_lets_expect(kept: float) -> None:
    rng, series, a_day = np.random.default_rng(31), 64, 96
    made, last, alarms = detector(series, "change_point"), np.zeros(series), 0
    for step in range(5 * a_day):
        last = kept * last + np.sqrt(1 - kept * kept) * rng.standard_normal(series)
        day = 8 * np.sin(2 * np.pi * step / a_day)
        score = made.look(np.arange(series), np.full(series, 1e9 + step * 900.0), 100 + day + last).score
        alarms += int((score > np.log1p(10)).sum())
    assert alarms <= series * 5 / 10


def test_a_spike_of_ten_scales_is_found_at_once_and_named() -> None:
    made, values = detector(1), 100 + np.random.default_rng(1).standard_normal((2000, 1))
    watch(made, values)
    found = made.look(np.array([0]), np.array([1e9 + 2000 * 300.0]), np.array([110.0]))
    assert found.score[0] > 1
    assert found.lower[0] < 100 < found.upper[0] < 110
    assert max(found.votes, key=lambda name: found.votes[name][0]) in {"value", "jump"}


@pytest.mark.parametrize(
    ("name", "interval_s"),
    [
        *(("ensemble", each) for each in (1.0, 10.0, 60.0, 300.0, 3600.0)),
        *((name, 60.0) for name in DETECTORS if name != "ensemble"),
    ],
)
def test_an_outage_of_a_day_is_no_anomaly_in_itself(name: str, interval_s: float) -> None:
    made, values = detector(8, name), 100 + np.random.default_rng(2).standard_normal((1500, 8))
    before = watch(made, values[:1000], 0, interval_s)
    after = watch(made, values[1000:], 1000 + round(86_400 / interval_s), interval_s)
    rare = np.log1p(1_000 * interval_s / 86_400)  # a sample in a thousand
    for strange in (before[500:] > rare, after > rare):
        assert (strange[1:] & ~strange[:-1]).mean() < 0.003  # what is shown again as it rises is one


def test_a_new_cadence_is_no_anomaly_in_itself() -> None:
    made, values = detector(8), 100 + np.random.default_rng(3).standard_normal((2000, 8))
    watch(made, values[:1000], 0, 300.0)
    every = np.arange(8)
    scores = [made.look(every, np.full(8, 1e9 + 300_000 + 10.0 * row), values[1000 + row]).score for row in range(1000)]
    assert (np.stack(scores) > 1).mean() < 0.003


def test_a_batch_is_looked_at_in_rounds_of_one_sample_a_series() -> None:
    slots = np.array([3, 1, 3, 3, 2, 1])
    assert [part.tolist() for part in rounds(slots)] == [[0, 1, 4], [2, 5], [3]]


def test_the_band_is_known_on_the_first_day() -> None:
    made, values = Ensemble(), 100 + np.random.default_rng(6).standard_normal((150, 1))
    made.columns.add(1)
    watch(made, values, interval_s=10.0)
    found = made.look(np.array([0]), np.array([1e9 + 1500.0]), np.array([100.0]))
    assert found.expected[0] == pytest.approx(100, abs=0.5)
    assert found.lower[0] == pytest.approx(97, abs=1)
    assert found.upper[0] == pytest.approx(103, abs=1)


def test_a_series_with_a_season_is_foretold_unless_it_is_said_to_have_none() -> None:
    at_s = 1e9 + np.arange(14 * 288) * 300.0
    values = 100 + 20 * np.sin(2 * np.pi * at_s / 86_400) + np.random.default_rng(7).standard_normal(len(at_s))
    widths = {}
    for periods in ("auto", "none", "day", "week"):
        made = Seasonal(Habits(periods))
        made.columns.add(1)
        for at, value in zip(at_s, values, strict=True):
            found = made.look(np.zeros(1, np.int64), np.array([at]), np.array([value]))
        widths[periods] = found.upper[0] - found.lower[0]
        assert found.lower[0] < values[-1] < found.upper[0]
    assert widths["none"] > 60
    assert max(width for periods, width in widths.items() if periods != "none") < 20


def test_once_in_so_many_days_is_true_of_stationary_series() -> None:
    rng, steps, a_week, each = np.random.default_rng(11), 2200, 672, 32
    made, last, alarms = detector(4 * each), np.zeros(each), np.zeros((2, 4))
    for step in range(steps):
        white = rng.standard_normal((2, each))
        last = 0.6 * last + 0.8 * white[1]
        values = np.concatenate((white[0], last, rng.laplace(0, 1, each), rng.exponential(1, each)))
        score = made.look(np.arange(4 * each), np.full(4 * each, 1e9 + step * 900.0), 100 + values).score
        if step >= a_week:
            for row, days in enumerate((1.0, 7.0)):
                alarms[row] += (score > np.log1p(days)).reshape(4, each).sum(axis=1)
    series_days = each * (steps - a_week) * 900 / 86_400
    assert (alarms[0] > 0.2 * series_days).all()  # not merely silent
    assert (alarms[0] < 1.7 * series_days).all()
    assert (alarms[1] < 2.5 * series_days / 7).all()


def test_a_first_incident_does_not_hide_the_next() -> None:
    rng, each, a_day = np.random.default_rng(12), 32, 72
    made = detector(each)
    values = 100 + rng.standard_normal((30 * a_day, each))
    begins = np.arange(12 * a_day, 29 * a_day, 3 * a_day)
    for begin in begins:
        values[begin : begin + a_day // 3] += 6
    scores = watch(made, values, interval_s=1200.0)
    found = np.array([(scores[begin : begin + 30] > np.log1p(7)).any(axis=0).mean() for begin in begins])
    assert found[0] > 0.9
    assert found[1:].mean() > found[0] - 0.05


@given(st.integers(-(10**6), 10**6), st.integers(-3, 3), st.floats(-1e12, 1e12))
def test_phases_are_those_of_a_division_with_remainder(turns: int, ulps: int, at_s: float) -> None:
    for period_s in (DAY_S, WEEK_S):
        edge = turns * period_s
        times = np.array([at_s, round(at_s, 3), edge, edge + ulps * np.spacing(float(edge)), edge + ulps / 1_000])
        assert phase_s(times, period_s).tolist() == (times % period_s).tolist()


@pytest.mark.parametrize("change_s", [3_600.0, -3_600.0])
def test_clocks_that_change_are_no_anomaly_where_the_season_follows_them(change_s: float) -> None:
    rng, a_day, series = np.random.default_rng(13), 96, 64
    made, alarms = detector(series), 0
    for step in range(20 * a_day):
        at_s = 1e9 + step * 900.0
        local_s = at_s + (change_s if step >= 16 * a_day else 0.0)
        values = 100 + 20 * np.sin(2 * np.pi * local_s / 86_400) + rng.standard_normal(series)
        score = made.look(np.arange(series), np.full(series, at_s), values, np.full(series, local_s)).score
        alarms += int((score > np.log1p(30)).sum()) if step >= 16 * a_day else 0
    assert alarms <= 2 * series * 4 / 30  # twice what such a rarity lets expect; else there would be one each
