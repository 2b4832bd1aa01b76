"""Operations metrics with known incidents, from a seed: what a detector is measured on before anybody trusts it.

A fleet is a number of series of eight shapes over some weeks. The first `LEARN_DAYS` are quiet; after them each series
has incidents of five kinds, at least a day and a half apart. Their size is given in scales: standard deviations of the
noise of that series at that moment. Everything is in hours and days, so that a fleet means the same at every interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HOUR, DAY, WEEK = 3_600, 86_400, 604_800
LEARN_DAYS = 14
START_S = 1_700_438_400  # a Monday, 00:00 UTC
SHAPES = ("flat", "daily", "weekly", "requests", "growing", "wandering", "latency", "batch")
KINDS = ("spike", "shift", "deploy", "leak", "variance")
_APART_S = 36 * HOUR
_SCRAPE_S = 15.0


@dataclass(frozen=True, slots=True)
class Incident:
    """Something wrong with one series; `turn` is how many that series had before."""

    series: int
    kind: str
    begin_s: float
    end_s: float
    turn: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """Samples at common times: `values` is times x series, NaN where none came."""

    at_s: Floats
    values: Floats
    shapes: list[str]
    incidents: list[Incident]
    interval_s: float


def fleet(seed: int, series: int = 96, weeks: int = 5, interval_s: float = 300.0, size: float = 4.0) -> Fleet:
    """A fleet; equal arguments give equal samples. `size` is that of all incidents, in scales."""
    rng = np.random.default_rng([seed, round(interval_s * 1000)])
    at_s = np.arange(0.0, weeks * WEEK, interval_s)
    columns, incidents = [], []
    shapes = [SHAPES[number % len(SHAPES)] for number in range(series)]
    for number, shape in enumerate(shapes):
        level, scale = _signal(rng, shape, at_s)
        noise = _noise(rng, shape, at_s, interval_s)
        own = _incidents(rng, number, weeks)
        for incident in own:
            _strike(rng, incident, at_s, size, level, scale, noise)
        column = level + scale * noise
        if shape in ("requests", "latency"):
            column = np.maximum(column, 0.0)
        if shape == "requests":
            column = rate_of(counter_of(rng, column, interval_s), interval_s)
        column[_missing(rng, at_s)] = np.nan
        columns.append(column)
        incidents += own
    return Fleet(START_S + at_s, np.stack(columns, axis=1), shapes, incidents, interval_s)


def counter_of(rng: np.random.Generator, rates: Floats, interval_s: float) -> Floats:
    """A counter that grows at these rates and about once a week begins anew, up to `_SCRAPE_S` before it is read."""
    growth = rates * interval_s
    total = np.cumsum(growth)
    for reset in np.flatnonzero(rng.random(len(rates)) < interval_s / WEEK).tolist():
        lost = rng.uniform(0, min(_SCRAPE_S / interval_s, 1.0))
        total[reset:] += growth[reset] * (1 - lost) - total[reset]
    return total


def rate_of(counter: Floats, interval_s: float) -> Floats:
    """Its growth a second, as an alerting rule sees it: after a reset the counter has grown by what it shows."""
    growth = np.diff(counter, prepend=0.0)
    return np.asarray(np.where(growth < 0, counter, growth) / interval_s)


def _signal(rng: np.random.Generator, shape: str, at_s: Floats) -> tuple[Floats, Floats]:
    """What a series would be without noise, and the scale of its noise."""
    base = 10 ** rng.uniform(0, 4)
    height = base * rng.uniform(0.2, 0.5)
    day = 2 * np.pi * (at_s / DAY - rng.uniform(0, 1))
    wave = height * (np.sin(day) + rng.uniform(0, 0.4) * np.sin(2 * day + rng.uniform(0, 6)))
    weekend = np.where((at_s % WEEK) >= 5 * DAY, rng.uniform(0.3, 0.8), 1.0)
    flat = np.full(len(at_s), base)
    steady = np.full(len(at_s), base * rng.uniform(0.01, 0.08))
    if shape == "daily":
        return flat + wave, steady
    if shape == "weekly":
        return weekend * (flat + wave), steady
    if shape == "requests":
        level = weekend * (flat + wave)
        return level, np.maximum(level, base * 0.02) * rng.uniform(0.02, 0.08)
    if shape == "growing":
        return flat * (1 + rng.uniform(-0.05, 0.1) * at_s / WEEK) + rng.choice([0.0, 0.5]) * wave, steady
    if shape == "latency":
        return flat + rng.choice([0.0, 0.4]) * wave, flat * rng.uniform(0.03, 0.1)
    if shape == "batch":
        begin, length = rng.uniform(0, DAY), rng.uniform(1, 3) * HOUR
        return flat + np.where((at_s - begin) % DAY < length, height, 0.0), steady
    return flat, steady


def _noise(rng: np.random.Generator, shape: str, at_s: Floats, interval_s: float) -> Floats:
    """Noise of standard deviation 1: mostly Gaussian, somewhat like the sample before; latencies have a tail."""
    count = len(at_s)
    kept = rng.uniform(0.0, 0.7) ** (interval_s / 300)
    fresh = rng.standard_t(5, count) / np.sqrt(5 / 3) if shape == "latency" else rng.standard_normal(count)
    noise = _persistent(fresh, kept)
    if shape == "wandering":
        slow = _persistent(rng.standard_normal(count), np.exp(-interval_s / (12 * HOUR)))
        noise = 0.6 * noise + 0.8 * slow
    return noise


def _persistent(fresh: Floats, kept: float) -> Floats:
    """A stationary series of the same variance, each value like the one before by a share."""
    out = np.empty(len(fresh))
    last, gain = fresh[0], np.sqrt(1 - kept * kept)
    for place, value in enumerate((gain * fresh).tolist()):
        last = kept * last + value
        out[place] = last
    return out


def _incidents(rng: np.random.Generator, series: int, weeks: int) -> list[Incident]:
    at_s, end_s = LEARN_DAYS * DAY + rng.uniform(0, 3 * DAY), (weeks * 7 - 1) * DAY
    found: list[Incident] = []
    while True:
        kind = KINDS[rng.integers(len(KINDS))]
        low, high = {"spike": (1 / 6, 0.5), "deploy": (12, 12)}.get(kind, (3, 12))
        length = rng.uniform(low, high) * HOUR
        if at_s + length > end_s:
            return found
        found.append(Incident(series, kind, START_S + at_s, START_S + at_s + length, len(found)))
        at_s += length + _APART_S + rng.exponential(3 * DAY)


def _strike(
    rng: np.random.Generator, incident: Incident, at_s: Floats, size: float, level: Floats, scale: Floats, noise: Floats
) -> None:
    """Put an incident into a series, in place."""
    begin, end = incident.begin_s - START_S, incident.end_s - START_S
    inside = (at_s >= begin) & (at_s < end)
    up = rng.choice([-1.0, 1.0])
    if incident.kind == "variance":
        noise[inside] *= 1 + size / 2
    elif incident.kind == "deploy":
        level[at_s >= begin] += up * size * scale[inside].mean()
    elif incident.kind == "leak":  # grows from nothing to half as much again; then somebody restarts it
        level[inside] += up * 1.5 * size * scale[inside] * (at_s[inside] - begin) / (end - begin)
    else:
        level[inside] += up * size * scale[inside]


def _missing(rng: np.random.Generator, at_s: Floats) -> NDArray[np.bool_]:
    """One sample in five hundred is lost, and once in two weeks some hours."""
    missing = rng.random(len(at_s)) < 1 / 500
    for _ in range(max(1, round(at_s[-1] / WEEK / 2))):
        begin = rng.uniform(0, at_s[-1])
        missing |= (at_s >= begin) & (at_s < begin + rng.uniform(0.5, 12) * HOUR)
    return np.asarray(missing)
