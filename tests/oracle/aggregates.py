"""Aggregations of the samples of one window, each by its definition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

Samples = Sequence[tuple[int, float]]  # (time in milliseconds, value), in order of time


def aggregate(name: str, samples: Samples, begin_ms: int, end_ms: int) -> float | None:
    """The aggregation over [begin, end); None where it has no answer."""
    values = [value for _, value in samples]
    if name in ("rate", "increase", "delta"):
        return extrapolated(name, samples, begin_ms, end_ms)
    if name.startswith("p"):
        return percentile(values, float(name[1:]) / 100)
    simple = {
        "avg": lambda: math.fsum(values) / len(values),
        "sum": lambda: math.fsum(values),
        "count": lambda: float(len(values)),
        "min": lambda: min(values),
        "max": lambda: max(values),
        "first": lambda: values[0],
        "last": lambda: values[-1],
        "stddev": lambda: spread(values),
    }
    return simple[name]()


def spread(values: Sequence[float]) -> float:
    """The population standard deviation."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def percentile(values: Sequence[float], quantile: float) -> float:
    """Between the two nearest ranks, in proportion (Prometheus' `quantile_over_time`)."""
    ranked = sorted(values)
    rank = quantile * (len(ranked) - 1)
    below, above = ranked[math.floor(rank)], ranked[math.ceil(rank)]
    return below + (above - below) * (rank - math.floor(rank))


def extrapolated(name: str, samples: Samples, begin_ms: int, end_ms: int) -> float | None:
    """Prometheus' `rate`, `increase` (of counters) and `delta` (of gauges): a change seen between the first and the
    last sample, as if it had gone on to the window's ends.

    It goes on to an end that is nearer than 1.1 times the mean gap between samples; else, where the series seems to
    begin or end within the window, by half that gap. A counter is not taken back to below zero.
    """
    first_ms, last_ms = samples[0][0], samples[-1][0]
    if len(samples) < 2 or first_ms == last_ms:
        return None
    change = samples[-1][1] - samples[0][1]
    if name != "delta":
        change = 0.0
        for (_, before), (_, after) in pairwise(samples):
            change += after if after < before else after - before
    seen_s = (last_ms - first_ms) / 1_000
    gap_s = seen_s / (len(samples) - 1)
    ahead_s, behind_s = (first_ms - begin_ms) / 1_000, (end_ms - last_ms) / 1_000
    if ahead_s >= 1.1 * gap_s:
        ahead_s = gap_s / 2
    if name != "delta" and change > 0 and samples[0][1] >= 0:
        ahead_s = min(ahead_s, seen_s * samples[0][1] / change)
    if behind_s >= 1.1 * gap_s:
        behind_s = gap_s / 2
    whole = change * (ahead_s + seen_s + behind_s) / seen_s
    return whole / ((end_ms - begin_ms) / 1_000) if name == "rate" else whole
