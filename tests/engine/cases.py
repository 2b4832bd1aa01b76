"""Rules and samples for property tests, and how they are played through the pipeline."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from tests.oracle.machine import Verdict
from tests.oracle.verdicts import verdicts

from tocsin.engine.pipeline import Pipeline, Shape
from tocsin.schemas.codec import encode
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

BEGIN_MS = 1_700_000_000_000
QUIET_MS = 40_000
UNTIL_MS = 70_000  # after the last sample: what comes of silence by then is seen for certain
# Raised for long runs: TOCSIN_EXAMPLES=100 makes a hundred times as many.
MORE = int(os.environ.get("TOCSIN_EXAMPLES", "1"))


def examples(number: int) -> settings:
    """So many examples of a test, by default."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=number * MORE, deadline=None, suppress_health_check=checks)


@dataclass(frozen=True)
class Sample:
    """A value of a series, some milliseconds after the one before (of any series)."""

    series: int
    gap_ms: int
    value: float


WINDOWS: list[dict[str, Any]] = [
    {"size": "1s"},
    {"size": "5s"},
    {"type": "hopping", "size": "4s", "step": "1s"},
    {"type": "hopping", "size": "20s", "step": "5s"},
    {"type": "sliding", "size": "3s"},
    {"type": "sliding", "size": "30s"},
    {"type": "session", "gap": "1s"},
    {"type": "session", "gap": "6s"},
    {"type": "count", "samples": 2},
    {"type": "count", "samples": 5},
]
AGGREGATIONS = ["avg", "min", "max", "sum", "count", "first", "last", "stddev", "rate", "increase", "delta"]
SEVERITIES = ["info", "warning", "error", "critical"]
whole = st.integers(-6, 6).map(float)
gaps = st.sampled_from([1, 40, 250, 999, 1_000, 2_500, 7_000])
some = st.builds(Sample, st.integers(0, 3), gaps, whole)
samples = st.one_of(st.lists(some, max_size=20), st.lists(some, min_size=15, max_size=60))
steady = st.lists(
    st.builds(Sample, st.integers(0, 1), st.sampled_from([500, 500, 500, 490, 20_000]), whole), min_size=20, max_size=90
)


def _levels(draw: st.DrawFn, symbol: str, lowest: float) -> list[dict[str, Any]]:
    """Two or three levels, each farther out than the one before."""
    away = 1 if symbol in ("gt", "gte") else -1
    chosen = draw(st.sampled_from([SEVERITIES[:2], SEVERITIES[1:], SEVERITIES[::3]]))
    found = []
    for step, severity in enumerate(chosen):
        threshold = lowest + away * 2 * step
        level: dict[str, Any] = {"severity": severity, "threshold": threshold}
        if draw(st.booleans()):
            level["recovery_threshold"] = threshold - away * draw(st.integers(0, 3))
        if draw(st.booleans()):
            level["duration"] = draw(st.sampled_from(["0s", "2s", "8s"]))
        found.append(level)
    return found


def _compared(draw: st.DrawFn, off: float) -> dict[str, Any]:
    """An operator with a threshold, or levels. `off` keeps thresholds away from values that are only nearly equal."""
    symbol = draw(st.sampled_from(["gt", "gte", "lt", "lte", "eq", "neq"]))
    threshold = draw(whole) + off
    ordered = symbol in ("gt", "gte", "lt", "lte")
    if ordered and draw(st.integers(0, 2)) == 0:
        return {"operator": symbol, "levels": _levels(draw, symbol, threshold)}
    body: dict[str, Any] = {"operator": symbol, "threshold": threshold}
    if ordered and draw(st.booleans()):
        room = draw(st.integers(0, 3))
        body["recovery_threshold"] = threshold - room if symbol in ("gt", "gte") else threshold + room
    return body


def _range(draw: st.DrawFn) -> dict[str, Any]:
    """A band, or several, each with less that is right than the one before."""
    inside, low, high = draw(st.booleans()), draw(st.integers(-6, 0)), draw(st.integers(1, 6))
    body: dict[str, Any] = {"condition": "range", "inside": inside, "lower": low, "upper": high}
    if draw(st.integers(0, 2)) == 0:
        shift = 1 if inside else -1
        wider = {"severity": "error", "lower": low + shift * 0.25, "upper": high - shift * 0.25}
        first = {"severity": "info", "lower": body.pop("lower"), "upper": body.pop("upper")}
        body["levels"] = [first, wider]
    return body


def _held(draw: st.DrawFn) -> dict[str, Any]:
    """What goes with every condition."""
    return {
        "duration": draw(st.sampled_from(["0s", "1s", "3s", "10s"])),
        "cooldown": draw(st.sampled_from(["0s", "0s", "5s", "30s"])),
        "keep_firing_for": draw(st.sampled_from(["0s", "0s", "2s", "12s"])),
    }


def _windowed(draw: st.DrawFn) -> dict[str, Any]:
    window, aggregation = draw(st.sampled_from(WINDOWS)), draw(st.sampled_from(AGGREGATIONS))
    return {"window": window, "aggregation": aggregation, "require_full_window": draw(st.booleans())}


def _silence(draw: st.DrawFn) -> dict[str, Any]:
    policy = draw(st.sampled_from(["keep", "ok", "alert"]))
    return {"on_no_data": policy, "no_data_after": draw(st.sampled_from(["3s", "10s"]))}


@st.composite
def value_rules(draw: st.DrawFn) -> Rule:
    """Threshold and range, with and without a window."""
    body: dict[str, Any] = {"id": "r", "metric_type": "m", **_held(draw), **_silence(draw)}
    if draw(st.integers(0, 3)):
        body |= _windowed(draw)
    exact = body.get("aggregation") not in ("stddev", "rate", "increase", "delta")
    body |= _range(draw) if draw(st.integers(0, 3)) == 0 else _compared(draw, 0.0 if exact else 0.37)
    return Rule.model_validate(body)


@st.composite
def absence_rules(draw: st.DrawFn) -> Rule:
    """Fixed and learnt times of silence."""
    wait = draw(st.sampled_from([{"after": "3s"}, {"after": "9s"}, {}, {"missed": 3}, {"missed": 12.5}]))
    return Rule.model_validate({"id": "r", "metric_type": "m", "condition": "absence", "absence": wait, **_held(draw)})


@st.composite
def change_rules(draw: st.DrawFn) -> Rule:
    """Against some seconds ago."""
    against = {
        "against": draw(st.sampled_from(["500ms", "2s", "10s", "1m"])),
        "unit": draw(st.sampled_from(["percent", "absolute"])),
    }
    body = {"id": "r", "metric_type": "m", "condition": "change", "change": against}
    if draw(st.booleans()):
        body |= {"window": draw(st.sampled_from(WINDOWS[:4])), "aggregation": draw(st.sampled_from(["max", "sum"]))}
    return Rule.model_validate({**body, **_held(draw), **_silence(draw), **_compared(draw, 0.37)})


@st.composite
def trend_rules(draw: st.DrawFn) -> Rule:
    """Linear and seasonal forecasts."""
    trend = {"lookback": draw(st.sampled_from(["5s", "10s"])), "horizon": draw(st.sampled_from(["1s", "3s", "12s"]))}
    if draw(st.booleans()):
        trend["season"] = draw(st.sampled_from(["10s", "15s"]))
    body = {"id": "r", "metric_type": "m", "condition": "trend", "trend": trend, "window": {"size": "1s"}}
    return Rule.model_validate({**body, **_held(draw), **_compared(draw, 0.37)})


rules = st.one_of(value_rules(), value_rules(), absence_rules(), change_rules(), trend_rules())


def timed(given_samples: Sequence[Sample]) -> list[tuple[int, Sample]]:
    """Each sample with its event time."""
    at_ms, found = BEGIN_MS, []
    for sample in given_samples:
        at_ms += sample.gap_ms
        found.append((at_ms, sample))
    return found


def message(at_ms: int, sample: Sample) -> bytes:
    labels = {"series": str(sample.series), "zone": "a"}
    return json.dumps({"name": "m", "value": sample.value, "timestamp": at_ms, "labels": labels}).encode()


def played(
    rule: Rule, given_samples: Sequence[Sample], shape: Shape, places: Sequence[int] | None = None, every: int = 10**9
) -> Pipeline:
    """Publish everything, keyed unless `places` spreads it, with a run of the pipeline after each `every` samples."""
    pipeline = Pipeline([rule], (), shape)
    clock_ms = BEGIN_MS
    for index, (at_ms, sample) in enumerate(timed(given_samples)):
        key = str(sample.series).encode() if places is None else None
        partition = sample.series % shape.sources if places is None else places[index % len(places)] % shape.sources
        pipeline.publish(message(at_ms, sample), at_ms, key, partition)
        clock_ms = at_ms
        if index % every == every - 1:
            pipeline.run(clock_ms)
    for _ in range(3):
        pipeline.run(clock_ms)
        clock_ms += QUIET_MS
    return pipeline


def without_places(pipeline: Pipeline) -> dict[str, list[bytes]]:
    """Events without the place at which a single sample lay, which is another in another topic."""
    found = defaultdict(list)
    for event in pipeline.events:
        evidence = {name: fact for name, fact in (event.evidence or {}).items() if name not in ("partition", "offset")}
        found[event.fingerprint].append(msgspec.json.encode(msgspec.structs.replace(event, evidence=evidence)))
    return dict(found)


def rounded(verdict: Verdict) -> Verdict:
    """A verdict whose value can be compared: sums of other orders differ in the last digits."""
    digits = float(f"{verdict.value:.9e}") if abs(verdict.value) > 1e-9 else 0.0
    return Verdict(**{**vars(verdict), "value": digits})


def last_ms(given_samples: Sequence[Sample]) -> int:
    """The time of the last sample."""
    return BEGIN_MS + sum(sample.gap_ms for sample in given_samples)


def by_series(signals: Sequence[Signal], given_samples: Sequence[Sample]) -> dict[int, list[Verdict]]:
    """What was said, by series; of the end only what is seen for certain."""
    found: defaultdict[int, list[Verdict]] = defaultdict(list)
    for one in signals:
        if one.at_ms > last_ms(given_samples) + UNTIL_MS:
            continue
        figures = one.kind, one.since_ms, one.at_ms, one.value, one.evidence.samples, one.level, one.reason
        found[int(one.labels["series"])].append(rounded(Verdict(*figures)))
    return dict(found)


def wanted(rule: Rule, given_samples: Sequence[Sample]) -> dict[int, list[Verdict]]:
    """What the model says, by series."""
    series: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
    for at_ms, sample in timed(given_samples):
        series[sample.series].append((at_ms, sample.value))
    until_ms = last_ms(given_samples) + UNTIL_MS
    found = {number: verdicts(rule, values, until_ms) for number, values in series.items()}
    return {number: list(map(rounded, said)) for number, said in found.items() if said}


def events_of(pipeline: Pipeline) -> dict[str, list[bytes]]:
    """The events of each alert, as they lie on the topic."""
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    for event in pipeline.events:
        found[event.fingerprint].append(encode(event))
    return dict(found)
