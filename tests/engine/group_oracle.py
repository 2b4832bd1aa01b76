"""A slow and obvious model of groups: what each window of each group comes to, by its definition.

How such values are judged is not modelled here: a group's values must be judged as the same values of one series are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tocsin.schemas.labels import series_key
from tocsin.schemas.rule import Rule, quantile_of


@dataclass(frozen=True)
class Sample:
    """One sample of one series."""

    at_ms: int
    value: float
    labels: tuple[tuple[str, str], ...]
    metric: str = "m"


@dataclass(frozen=True)
class Value:
    """What one window comes to. `is_whole` says that the group was there when it began."""

    end_ms: int
    value: float | None
    samples: int
    is_whole: bool


Groups = dict[bytes, list[Value]]


def group_key(rule: Rule, labels: dict[str, str]) -> bytes:
    """The labels that a group's alert has."""
    return series_key("", {name: labels.get(name, "") for name in rule.group_by})


def windows(rule: Rule, samples: Sequence[Sample]) -> Groups:
    """Every window of every group that holds a sample; of a ratio, one to divide by."""
    per = rule.ratio.per if rule.ratio else rule.metric_type
    with_growth = grown(samples)
    keys = {group_key(rule, dict(sample.labels)) for sample in samples}
    found: Groups = {}
    for key in keys:
        inside = [(s, growth) for s, growth in with_growth if group_key(rule, dict(s.labels)) == key]
        values = list(_windows_of(rule, per, inside))
        if values:
            found[key] = values
    return found


def _windows_of(rule: Rule, per: str, samples: Sequence[tuple[Sample, float | None]]) -> list[Value]:
    assert rule.window is not None
    size, hop = rule.window.length_ms, rule.window.hop_ms
    times = [sample.at_ms for sample, _ in samples]
    first = min(times) // hop * hop
    found = []
    for end in range(first + hop, max(times) + size + 1, hop):
        window = [(s, growth) for s, growth in samples if end - size <= s.at_ms < end]
        below = [each for each in window if each[0].metric == per]
        if not below:
            continue
        value: float | None = aggregate(rule.aggregate, below, size)
        if rule.ratio:
            assert value is not None
            value = ratio(rule.aggregate, [each for each in window if each[0].metric == rule.metric_type], value, size)
        found.append(Value(end, value, len(below), first <= end - size))
    return found


def ratio(name: str, above: Sequence[tuple[Sample, float | None]], below: float, size_ms: int) -> float | None:
    """None where there is no ratio: nothing above of what does not add up, or zero below."""
    if below == 0 or (not above and name not in ("sum", "count", "increase", "rate")):
        return None
    return (aggregate(name, above, size_ms) if above else 0.0) / below


def grown(samples: Sequence[Sample]) -> list[tuple[Sample, float | None]]:
    """Each sample, and the one before it in its series."""
    last: dict[tuple[object, ...], float] = {}
    found = []
    for sample in sorted(samples, key=lambda each: each.at_ms):
        series = sample.metric, sample.labels
        found.append((sample, last.get(series)))
        last[series] = sample.value
    return found


def _increase(value: float, before: float | None) -> float:
    if before is None:
        return 0.0
    return value if value < before else value - before


def aggregate(name: str, samples: Sequence[tuple[Sample, float | None]], size_ms: int) -> float:
    """By its definition, with sums that are exact."""
    values = [Fraction(sample.value) for sample, _ in samples]
    growth = sum((Fraction(_increase(s.value, before)) for s, before in samples), Fraction())
    drift = sum((Fraction(s.value - (s.value if before is None else before)) for s, before in samples), Fraction())
    mean = sum(values, Fraction()) / len(values)
    simple: dict[str, Callable[[], float]] = {
        "sum": lambda: float(sum(values, Fraction())),
        "avg": lambda: float(sum(values, Fraction())) / len(values),
        "min": lambda: float(min(values)),
        "max": lambda: float(max(values)),
        "count": lambda: float(len(values)),
        "first": lambda: min((s.at_ms, s.value) for s, _ in samples)[1],
        "last": lambda: max((s.at_ms, s.value) for s, _ in samples)[1],
        "stddev": lambda: math.sqrt(float(sum(((v - mean) ** 2 for v in values), Fraction()) / len(values))),
        "increase": lambda: float(growth),
        "rate": lambda: float(growth) / (size_ms / 1_000),
        "delta": lambda: float(drift),
    }
    quantile = quantile_of(name)
    return simple[name]() if quantile is None else percentile([float(value) for value in values], quantile)


def percentile(values: Sequence[float], quantile: float) -> float:
    """Between two samples as far as the rank lies between theirs."""
    ordered = sorted(values)
    rank = quantile * (len(ordered) - 1)
    low = ordered[math.floor(rank)]
    return low + (ordered[math.ceil(rank)] - low) * (rank - math.floor(rank))


def by_group(rule: Rule, samples: Sequence[Sample]) -> dict[bytes, list[Sample]]:
    """Samples of a metric by group."""
    found: defaultdict[bytes, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[group_key(rule, dict(sample.labels))].append(sample)
    return dict(found)
