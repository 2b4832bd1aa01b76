"""Values made of earlier values: how they changed, and where they are going."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from tests.oracle.windows import Value

from tocsin.schemas.kinds import Change, Trend
from tocsin.schemas.rule import Rule


class Past:
    """Means of all values so far, by buckets of time."""

    def __init__(self, step_ms: int) -> None:
        self.step_ms = step_ms
        self.buckets: defaultdict[int, list[float]] = defaultdict(list)

    def add(self, value: Value) -> None:
        self.buckets[value.at_ms // self.step_ms].append(value.value)

    def mean(self, bucket: int) -> float | None:
        values = self.buckets.get(bucket)
        return math.fsum(values) / len(values) if values else None


def hop_of(rule: Rule) -> int:
    """How far apart values lie, where that is known."""
    return rule.window.hop_ms if rule.window else 0


def changes(rule: Rule, values: Sequence[Value]) -> list[Value]:
    """Each value against the mean of the 1/336 of the time (a window at least) in which its earlier self lies; if that
    is empty, against the last one before it, but older by at most a quarter of the time."""
    settings = rule.settings
    assert isinstance(settings, Change)
    step_ms = max(hop_of(rule), math.ceil(settings.against / 336), 1)
    past, found = Past(step_ms), []
    for value in values:
        then = (value.at_ms - settings.against) // step_ms
        older = range(math.ceil(settings.against / (4 * step_ms)) + 1)
        before = next((mean for back in older if (mean := past.mean(then - back)) is not None), None)
        past.add(value)
        if before is None or (before == 0 and settings.unit == "percent"):
            continue
        difference = value.value - before
        if settings.unit == "percent":
            difference = 100 * difference / abs(before)
        found.append(Value(value.at_ms, difference, value.samples))
    return found


def forecasts(rule: Rule, values: Sequence[Value]) -> list[Value]:
    """With the first value of each bucket, where the past leads: see `_forecast`."""
    settings = rule.settings
    assert isinstance(settings, Trend)
    season = settings.season or 0
    step_ms = max(hop_of(rule), math.ceil(settings.lookback / 64), math.ceil(season / 288), 1)
    past, found, done = Past(step_ms), [], -1
    for value in values:
        bucket = value.at_ms // step_ms
        if bucket > done:
            done = bucket
            forecast = _forecast(rule, settings, past, bucket)
            if forecast is not None:
                found.append(Value(value.at_ms, forecast, value.samples))
        past.add(value)
    return found


def _forecast(rule: Rule, settings: Trend, past: Past, now: int) -> float | None:
    """A line through the means of the lookback's buckets, laid on to the last bucket before the horizon.

    With a season the line is laid through the differences to one season ago, and each bucket up to the horizon gets
    what it had a season ago added; the worst of them counts. Half of the lookback must be known, in number and span.
    """
    back = max(settings.lookback // past.step_ms, 3)
    ahead = max(1, math.ceil(settings.horizon / past.step_ms))
    season = math.ceil((settings.season or 0) / past.step_ms)
    points = []
    for at in range(-back, 0):
        mean, before = past.mean(now + at), past.mean(now + at - season) if season else 0.0
        if mean is not None and before is not None:
            points.append((at, mean - before))
    if len(points) < max(3, back // 2) or -points[0][0] < back // 2:
        return None
    level, rise = _line(points)
    if not season:
        return level + rise * (ahead - 1)
    worst = max if rule.operator not in ("lt", "lte") else min
    ago = [past.mean(now + at % season - season) for at in range(ahead)]
    reached = [level + rise * at + earlier for at, earlier in enumerate(ago) if earlier is not None]
    return worst(reached, default=None)


def _line(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Level at 0 and rise of the least-squares line."""
    mean_x = math.fsum(x for x, _ in points) / len(points)
    mean_y = math.fsum(y for _, y in points) / len(points)
    rise = math.fsum((x - mean_x) * (y - mean_y) for x, y in points) / math.fsum((x - mean_x) ** 2 for x, _ in points)
    return mean_y - rise * mean_x, rise
