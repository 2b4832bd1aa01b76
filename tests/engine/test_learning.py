"""Rules that learn: the same after a crash and however input is cut, quiet at the edges, and known to other rules."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.cases import Sample, examples, message, timed
from tests.engine.test_checkpoint import assert_same, book_of, log_of

from tocsin.engine.evaluate.checkpoint import HEADER, checkpoint, restore
from tocsin.engine.evaluate.derivation import Derivation
from tocsin.engine.evaluate.derivations.anomaly import Strangeness
from tocsin.engine.evaluate.derivations.baseline import Deviation
from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.evaluate.points import Points, segments
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.evaluate.step import step
from tocsin.engine.evaluate.wall_clock import WallClock
from tocsin.engine.frame import Frame, Tick
from tocsin.engine.pipeline import Pipeline
from tocsin.engine.watermark import Timing
from tocsin.schemas.codec import encode
from tocsin.schemas.learning import Anomaly, Baseline
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Evidence, Signal

KINDS: list[dict[str, Any]] = [
    {"condition": "anomaly", "anomaly": {"sensitivity": "high"}},
    {"condition": "anomaly", "anomaly": {"learn_anomalies": False, "relearn_after": "1m", "time_zone": "Asia/Kolkata"}},
    {"condition": "baseline", "baseline": {"relearn_after": "1m"}, "threshold": 3},
    {"threshold": "auto", "baseline": {"seasonality": "none", "memory": "5m"}},
    {"condition": "anomaly", "anomaly": {"detector": "holt_winters", "rarer_than": "1h"}},
    {"condition": "anomaly", "anomaly": {"detector": "neighbours", "rarer_than": "1h", "memory": "5m"}},
    {"condition": "trend", "threshold": 9, "trend": {"of": "baseline", "horizon": "20s", "lookback": "30s"}},
]


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise", divide="raise"):
        warnings.simplefilter("error")
        yield


def rule_of(body: dict[str, Any]) -> Rule:
    return Rule.model_validate({"id": "r", "metric_type": "m", **body})


def drawn(seed: int, length: int = 500) -> list[Sample]:
    """Two series with noise, spikes and a change of level."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(length) + np.where(np.arange(length) > length * 3 // 4, 6, 0)
    values[rng.integers(length // 2, length, 6)] += 15
    return [Sample(index % 2, 500, round(float(value), 3)) for index, value in enumerate(values)]


def evaluated(items: Sequence[Frame | Tick], rule: Rule) -> list[bytes]:
    state, book = PartitionState(), book_of(rule)
    return [
        encode(one) for offset, item in enumerate(items) for one in step(state, [item], offset, book, Timing()).signals
    ]


@pytest.mark.parametrize("body", KINDS)
@examples(3)
@given(st.integers(0, 2**32), st.integers(1, 400), st.integers(0, 1_000))
def test_a_crash_changes_nothing(body: dict[str, Any], seed: int, every: int, crash: int) -> None:
    rule = rule_of(body)
    items = log_of(rule, drawn(seed), [0], every)
    crash %= len(items)
    book, said = book_of(rule), list[bytes]()
    state = PartitionState()
    for offset, item in enumerate(items):
        said += [encode(one) for one in step(state, [item], offset, book, Timing()).signals]
        if offset == crash:
            entries, header = checkpoint(state)
            before, state = state, restore({**entries, HEADER: header}.get)
            assert_same(before, state)
    assert said == evaluated(items, rule)


def placeless(said: Sequence[Signal]) -> list[Signal]:
    return [
        Signal(**{name: getattr(one, name) for name in Signal.__struct_fields__ if name != "evidence"},
               evidence=Evidence(one.evidence.metric, one.evidence.window, 1, facts=one.evidence.facts))
        for one in said
    ]  # fmt: skip


@pytest.mark.parametrize("body", KINDS)
def test_what_is_said_does_not_depend_on_where_the_input_is_cut(body: dict[str, Any]) -> None:
    rule, found = rule_of(body), []
    for every in (7, 300):
        state, book, said = PartitionState(), book_of(rule), list[Signal]()
        for offset, item in enumerate(log_of(rule, drawn(4), [0], every)):
            said += step(state, [item], offset, book, Timing()).signals
        found.append(sorted(placeless(said), key=lambda one: (one.fingerprint, one.order)))
    assert found[0] == found[1]
    assert found[0]


def test_another_sensitivity_begins_with_what_is_known() -> None:
    noise = np.random.default_rng(1).standard_normal(600).tolist()
    first = [Sample(index % 2, 500, value) for index, value in enumerate(noise)]
    second = [Sample(0, 1_000, 40.0), Sample(1, 1_000, 40.0)]
    rules = [rule_of({"condition": "anomaly", "anomaly": {"sensitivity": word}}) for word in ("low", "high")]
    pipeline = Pipeline(rules[:1])
    for at_ms, sample in timed(first):
        pipeline.publish(message(at_ms, sample), at_ms, b"k", 0)
    pipeline.run(at_ms)
    pipeline.put_rule(rules[1])
    pipeline.run(at_ms)
    for number, sample in enumerate(second):
        pipeline.publish(message(at_ms + 1_000 + number, sample), at_ms + 1_000 + number, b"k", 0)
    pipeline.run(at_ms + 3_000)
    fired = [one for one in pipeline.signals if one.kind == "firing" and one.value > 0 and one.at_ms > at_ms]
    assert {one.labels["series"] for one in fired} == {"0", "1"}


def test_a_checkpoint_holds_of_profiles_what_changed() -> None:
    rule = rule_of(KINDS[0])
    state, book, table = PartitionState(), book_of(rule), dict[str, bytes]()
    items = log_of(rule, drawn(2), [0], 50)
    written: list[set[str]] = []
    for offset, item in enumerate(items):
        step(state, [item], offset, book, Timing())
        if offset % 4 == 0 or offset == len(items) - 1:
            entries, header = checkpoint(state)
            table |= {**entries, HEADER: header}
            learnt = {name.split("/", 3)[3].rsplit("/", 1)[0] for name in entries if name.startswith("learnt/")}
            written.append(learnt)
            before, state = state, restore(table.get)
            assert_same(before, state)
    every = {"0", *(f"0/{strip}" for lane in state.lanes.values() for strip in strips_of(lane))}
    first, *later = [names for names in written if names]
    assert (first, len(every)) == (every, 25)
    assert all("0" in names for names in later)
    assert not any(f"0/168-{begin}" in names for names in later for begin in range(0, 168, 12))


def strips_of(lane: Lane) -> list[str]:
    (derivation,) = lane.derivations.values()
    return [name for name, _, _ in derivation.columns.strips()]


def test_what_another_version_learnt_is_learnt_anew() -> None:
    rule = rule_of(KINDS[0])
    state, book = PartitionState(), book_of(rule)
    items = log_of(rule, drawn(2), [0], 50)
    for offset, item in enumerate(items):
        step(state, [item], offset, book, Timing())
    (lane,) = state.lanes.values()
    (derivation,) = lane.derivations.values()
    before = derivation.columns["seen"][:2].copy()
    derivation.columns.spec["seen"] = ("i4", 0, 0)
    entries, header = checkpoint(state)
    restored = restore({**entries, HEADER: header}.get)
    (lane,) = restored.lanes.values()
    (derivation,) = lane.derivations.values()
    assert before.tolist() == [250, 250]
    assert derivation.columns["seen"][: derivation.columns.count].tolist() == [0, 0]


def judged(values: np.ndarray, at_s: np.ndarray, kind: str) -> tuple[Points, list[Evidence]]:
    """What a rule makes of one series."""
    settings: dict[str, Any] = {"anomaly": (Strangeness, Anomaly()), "baseline": (Deviation, Baseline())}
    made, asked = settings[kind]
    return judged_by(made(asked, 0, True), values, at_s)


def judged_by(derivation: Derivation, values: np.ndarray, at_s: np.ndarray) -> tuple[Points, list[Evidence]]:
    """What a derivation makes of one series."""
    derivation.columns.add(1)
    slots = np.zeros(len(values), np.int64)
    points = Points(
        slots[:1], segments(slots), (at_s * 1_000).astype(np.int64), values, lambda _: Evidence("m", (0, 0), 1)
    )
    found = derivation.derive(points)
    return found, [found.evidence(index) for index in range(len(found))]


def quiet_of(kind: str, found: Points) -> bool:
    return bool((found.values < (1e-12 if kind == "anomaly" else 4.5)).all())


@pytest.mark.parametrize("kind", ["anomaly", "baseline"])
@pytest.mark.parametrize("value", [0.0, 7.0, -5.0, 1e300, -1.7e308, 1e-300, 5e-324])
def test_a_constant_series_is_quiet(kind: str, value: float) -> None:
    found, _ = judged(np.full(600, value), 1e9 + 60.0 * np.arange(600), kind)
    assert len(found) > 500
    assert quiet_of(kind, found)


@pytest.mark.parametrize("kind", ["anomaly", "baseline"])
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_another_cadence_and_a_stop_of_a_day_are_quiet(kind: str, scale: float) -> None:
    steps = np.concatenate((np.full(400, 300.0), np.full(300, 10.0), [86_400.0], np.full(300, 60.0)))
    values = (100 + np.random.default_rng(8).uniform(-1, 1, len(steps))) * scale
    found, evidence = judged(values, 1e9 + np.cumsum(steps), kind)
    assert quiet_of(kind, found)
    assert all(math.isfinite(figure) for one in evidence for figure in one.facts.values())


@pytest.mark.parametrize("kind", ["anomaly", "baseline"])
def test_a_leap_to_the_largest_number_is_found_and_can_be_told(kind: str) -> None:
    values = np.concatenate((np.random.default_rng(9).uniform(-1, 1, 400), [1.7e308, -1.7e308], np.zeros(60)))
    found, evidence = judged(values, 1e9 + 60.0 * np.arange(len(values)), kind)
    assert not quiet_of(kind, found)
    assert np.isfinite(found.values).all()
    assert all(math.isfinite(figure) for one in evidence for figure in one.facts.values())


@pytest.mark.parametrize("begins", [0, 19])
def test_a_warm_up_learns_a_series_that_works_by_day(begins: int) -> None:
    at_s = 1_700_006_400 + 900.0 * np.arange(8 * 96)
    works = ((at_s / 3_600 + begins) % 24 >= 8) & ((at_s / 3_600 + begins) % 24 < 18)
    values = 100 + 40 * works + np.random.default_rng(10).standard_normal(len(at_s))
    derivation = Deviation(Baseline.model_validate({"warm_up": "1d"}), 0, True)
    found, _ = judged_by(derivation, values, at_s)
    assert len(found) == 7 * 96
    assert (found.values < 4).mean() > 0.99


def test_days_begin_where_the_series_lives_and_are_longer_when_clocks_change() -> None:
    hours = np.arange(
        datetime(2026, 10, 24, tzinfo=UTC).timestamp(), datetime(2026, 10, 27, tzinfo=UTC).timestamp(), 3600
    )
    shown = WallClock("Europe/Berlin")(hours)
    zone = ZoneInfo("Europe/Berlin")
    assert [datetime.fromtimestamp(at, UTC).hour for at in shown] == [
        datetime.fromtimestamp(at, zone).hour for at in hours
    ]
    assert (WallClock("UTC")(hours) == hours).all()
