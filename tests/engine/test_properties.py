"""Evaluate and lifecycle against the model, and against themselves with the same input cut in other ways."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.oracle import Verdict, verdicts

from tocsin.engine.pipeline import Pipeline, Shape
from tocsin.schemas.codec import encode
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

BEGIN_MS = 1_700_000_000_000
QUIET_MS = 60_000
bounded = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Sample:
    """A value of a series, some milliseconds after the one before (of any series)."""

    series: int
    gap_ms: int
    value: float


WINDOWS = [{"size": "1s"}, {"size": "5s"}, {"type": "hopping", "size": "4s", "step": "1s"}]
NEXT = {"pending": ("firing", "pending"), "firing": ("resolved",), "resolved": ("pending", "firing")}
whole = st.integers(-6, 6).map(float)
samples = st.lists(
    st.builds(Sample, st.integers(0, 3), st.sampled_from([1, 40, 250, 999, 1_000, 2_500, 7_000]), whole), max_size=60
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    symbol = draw(st.sampled_from(["gt", "gte", "lt", "lte", "eq", "neq"]))
    threshold = draw(whole)
    body: dict[str, Any] = {"id": "r", "metric_type": "m", "operator": symbol, "threshold": threshold}
    body["duration"] = draw(st.sampled_from(["0s", "1s", "3s", "10s"]))
    body["cooldown"] = draw(st.sampled_from(["0s", "0s", "5s"]))
    if symbol in ("gt", "gte", "lt", "lte") and draw(st.booleans()):
        room = draw(st.integers(0, 3))
        body["recovery_threshold"] = threshold - room if symbol in ("gt", "gte") else threshold + room
    if draw(st.booleans()):
        window = draw(
            st.sampled_from([{"size": "1s"}, {"size": "5s"}, {"type": "hopping", "size": "4s", "step": "1s"}])
        )
        body |= {"window": window, "aggregation": draw(st.sampled_from(["avg", "min", "max", "sum", "count", "last"]))}
    return Rule.model_validate(body)


def timed(given_samples: Sequence[Sample]) -> list[tuple[int, Sample]]:
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


def by_series(signals: Sequence[Signal]) -> dict[int, list[Verdict]]:
    found: defaultdict[int, list[Verdict]] = defaultdict(list)
    for one in signals:
        verdict = Verdict(one.kind, one.since_ms, one.at_ms, one.value, one.evidence.samples)
        found[int(one.labels["series"])].append(verdict)
    return dict(found)


def wanted(rule: Rule, given_samples: Sequence[Sample]) -> dict[int, list[Verdict]]:
    series: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
    for at_ms, sample in timed(given_samples):
        series[sample.series].append((at_ms, sample.value))
    found = {number: verdicts(rule, values) for number, values in series.items()}
    return {number: values for number, values in found.items() if values}


@bounded
@given(rules(), samples)
def test_keyed_samples_are_judged_as_the_model_does(rule: Rule, given_samples: list[Sample]) -> None:
    pipeline = played(rule, given_samples, Shape(sources=2, samples=2))
    assert by_series(pipeline.signals) == wanted(rule, given_samples)
    assert not pipeline.dead


@bounded
@given(rules(), samples, st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 20), st.integers(1, 4))
def test_samples_spread_over_partitions_are_judged_as_the_model_does(
    rule: Rule, given_samples: list[Sample], places: list[int], every: int, sources: int
) -> None:
    pipeline = played(rule, given_samples, Shape(sources=sources, samples=2, run=3), places, every)
    assert by_series(pipeline.signals) == wanted(rule, given_samples)


@bounded
@given(rules(), samples, st.integers(1, 20), st.integers(1, 7), st.integers(1, 20))
def test_other_cuts_of_the_same_input_give_the_same_bytes(
    rule: Rule, given_samples: list[Sample], every: int, run: int, other_every: int
) -> None:
    one = played(rule, given_samples, Shape(sources=2, samples=3, run=run), every=every)
    other = played(rule, given_samples, Shape(sources=2, samples=3), every=other_every)
    assert in_order(one) == in_order(other)


def in_order(pipeline: Pipeline) -> dict[str, list[bytes]]:
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    for event in pipeline.events:
        found[event.fingerprint].append(encode(event))
    return dict(found)


@bounded
@given(rules(), samples, st.integers(1, 10))
def test_an_alerts_events_count_and_alternate(rule: Rule, given_samples: list[Sample], every: int) -> None:
    pipeline = played(rule, given_samples, Shape(sources=2, samples=2), every=every)
    assert len({event.id for event in pipeline.events}) == len(pipeline.events)
    sequences: defaultdict[str, list[str]] = defaultdict(list)
    for event in pipeline.events:
        sequences[event.fingerprint].append(event.type)
        assert event.sequence == len(sequences[event.fingerprint])
    for types in sequences.values():
        for before, after in zip(["resolved", *types], types, strict=False):
            assert after in {"pending": ("firing", "pending"), "firing": ("resolved",)}.get(
                before, ("pending", "firing")
            )
