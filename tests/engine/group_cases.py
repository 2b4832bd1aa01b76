"""Samples of groups, and ways in which they reach the engine."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from tests.engine.group_oracle import Sample

from tocsin.engine.pipeline import Pipeline, Shape
from tocsin.schemas.codec import encode
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

BEGIN_MS = 1_700_000_000_000
QUIET_MS = 30_000
SERIES = 5  # of two services and a half
bounded = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Way:
    """How samples travel: delayed by at most `delay_ms`, over partitions, and in which runs they are read."""

    sources: int = 1
    partitions: int = 1
    delay_ms: int = 0
    is_keyed: bool = False
    every: int = 10**9
    run: int = 1_000
    seed: int = 0


IN_ORDER = Way()
ways = st.builds(
    Way,
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([0, 900, 4_000]),
    st.booleans(),
    st.integers(1, 20),
    st.sampled_from([1, 3, 1_000]),
    st.integers(0, 99),
)


@st.composite
def samples(draw: st.DrawFn, metrics: Sequence[str] = ("m",), most: int = 40) -> list[Sample]:
    """Samples in order of time, none of one series at one time."""
    steps = st.tuples(
        st.integers(0, SERIES - 1),
        st.sampled_from([0, 1, 40, 250, 999, 1_000, 2_500, 7_000]),
        st.integers(-6, 6),
        st.sampled_from(metrics),
    )
    at_ms, found, seen = BEGIN_MS, [], set()
    for number, gap_ms, value, metric in draw(st.lists(steps, max_size=most)):
        at_ms += gap_ms
        if (number, metric, at_ms) in seen:
            at_ms += 1
        seen.add((number, metric, at_ms))
        found.append(Sample(at_ms, float(value), labels_of(number), metric))
    return found


def labels_of(number: int) -> tuple[tuple[str, str], ...]:
    """Two series in each service, and the last in none."""
    service = (("service", "ab"[number // 2]),) if number < SERIES - 1 else ()
    return (("host", str(number)), *service)


def message(sample: Sample) -> bytes:
    """As a producer writes it."""
    return json.dumps(
        {"name": sample.metric, "value": sample.value, "timestamp": sample.at_ms, "labels": dict(sample.labels)}
    ).encode()


def sent(given: Sequence[Sample], way: Way) -> list[tuple[int, int, Sample]]:
    """When and on which partition each sample is published; a keyed one on its series'."""
    chance = random.Random(way.seed)
    found = []
    for sample in given:
        at_ms = sample.at_ms + chance.randint(0, way.delay_ms)
        partition = hash_of(sample) if way.is_keyed else chance.randrange(way.sources)
        found.append((at_ms, partition % way.sources, sample))
    return sorted(found, key=lambda each: each[0])


def hash_of(sample: Sample) -> int:
    """The same number for one series."""
    return sum(map(ord, str(sample.labels))) + len(sample.metric)


def played(rules: Sequence[Rule], given: Sequence[Sample], way: Way = IN_ORDER, quiet_ms: int = QUIET_MS) -> Pipeline:
    """Everything published and judged, and some quiet after it."""
    pipeline = Pipeline(rules, (), Shape(sources=way.sources, samples=way.partitions, run=way.run))
    pipeline.run(BEGIN_MS)  # rules are there before what they look at
    clock_ms = BEGIN_MS
    for index, (at_ms, partition, sample) in enumerate(sent(given, way)):
        key = str(sample.labels).encode() if way.is_keyed and way.delay_ms == 0 else None
        pipeline.publish(message(sample), at_ms, key, partition)
        clock_ms = at_ms
        if index % way.every == way.every - 1:
            pipeline.run(clock_ms)
    pipeline.run(clock_ms)
    pipeline.run(clock_ms + quiet_ms)
    assert not pipeline.dead
    return pipeline


def events_of(pipeline: Pipeline, *rules: str) -> dict[str, list[bytes]]:
    """The bytes of each alert's events, in order; of some rules only."""
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    for event in pipeline.events:
        if not rules or event.rule_id in rules:
            found[event.fingerprint].append(encode(event))
    return dict(found)


def said(signals: Sequence[Signal], rule_id: str) -> dict[tuple[tuple[str, str], ...], list[tuple[object, ...]]]:
    """What signals of one rule say, by labels."""
    found: defaultdict[tuple[tuple[str, str], ...], list[tuple[object, ...]]] = defaultdict(list)
    for one in signals:
        if one.rule_id == rule_id:
            found[tuple(sorted(one.labels.items()))].append((one.kind, one.since_ms, one.at_ms, one.value, one.level))
    return dict(found)
