"""Rules and series that mean the same to Prometheus and to tocsin, drawn from a number.

Prometheus looks at a series at instants, `interval_s` apart, and at each at what the range before it holds. To tocsin
that is a hopping window of that size with that step, judged at its end. Only `random()` is drawn from, which gives the
same numbers in every version of Python.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from random import Random
from typing import Any

from tests.oracle.windows import values_of

from tocsin.schemas.rule import Rule, quantile_of

LOOKBACK_S = 300
INSTANTS = 60
FUNCTIONS = {
    "avg": "avg_over_time", "min": "min_over_time", "max": "max_over_time", "sum": "sum_over_time",
    "count": "count_over_time", "last": "last_over_time", "stddev": "stddev_over_time",
    "rate": "rate", "increase": "increase", "delta": "delta",
}  # fmt: skip
PERCENTILES = ("p50", "p90", "p95", "p99")
KINDS = ("instant", "instant", *FUNCTIONS, "rate", *PERCENTILES)
WHOLE = ("instant", "min", "max", "sum", "count", "last")  # of whole numbers these are the same to the last bit
EXTRAPOLATED = ("rate", "increase", "delta")
OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "==", "neq": "!="}
MOST_JITTER_S = 3  # and one of it to step off the grid
APART = 0.012  # how far a threshold stays from any percentile: tocsin's are estimates, within 1 %

Series = tuple[tuple[int, float], ...]  # seconds and values


@dataclass(frozen=True)
class Case:
    """One rule, in both languages, and the series it looks at. With `is_on_grid` samples lie at the instants: there the
    range of Prometheus holds its end and not its beginning, tocsin's the other way around, and a millisecond mends it.
    """

    kind: str
    interval_s: int
    rule: Rule
    expr: str
    series: tuple[Series, ...]
    is_on_grid: bool

    @property
    def shift_ms(self) -> int:
        """How much earlier tocsin is given the samples."""
        return 1 if self.is_on_grid else 0

    @property
    def instants_s(self) -> list[int]:
        """When to compare: while some series goes on, so that time does."""
        end_s = max(at_s for some in self.series for at_s, _ in some)
        return list(range(0, end_s if self.is_on_grid else end_s + 1, self.interval_s))


class Chance(Random):
    """Draws by `random()` alone."""

    def of(self, some: Sequence[Any]) -> Any:
        """One of them."""
        return some[int(self.random() * len(some))]

    def whole(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return low + int(self.random() * (high - low + 1))


@cache
def case(number: int) -> Case:
    """The case of a number, the same each time."""
    chance = Chance(number)
    kind, interval_s = chance.of(KINDS), chance.of((10, 15, 30, 60))
    range_s = LOOKBACK_S if kind == "instant" else interval_s * chance.whole(1, 8)
    is_on_grid = chance.random() < 0.25
    keep_s = chance.of((0, 0, 0, 20, 60, 150))
    gaps_s = _gaps(kind, range_s, interval_s, bool(keep_s))
    series = tuple(_series(chance, kind, interval_s, is_on_grid, gaps_s) for _ in range(chance.whole(1, 3)))
    body = {
        "id": "r", "metric_type": "m", "threshold": 0, "window": _window(range_s, interval_s),
        "aggregation": "last" if kind == "instant" else kind,
        "duration": f"{chance.of((0, 0, 10, 45, 60, 180))}s", "keep_firing_for": f"{keep_s}s",
        "on_no_data": "ok", "no_data_after": f"{range_s}s1ms",
    }  # fmt: skip
    operator = chance.of(list(OPERATORS) if kind in WHOLE else ["gt", "lt"])
    shift_ms = 1 if is_on_grid else 0
    threshold = _threshold(chance, kind, Rule.model_validate(body), series, shift_ms)
    rule = Rule.model_validate({**body, "operator": operator, "threshold": threshold})
    return Case(kind, interval_s, rule, _expr(kind, range_s, operator, threshold), series, is_on_grid)


def _gaps(kind: str, range_s: int, interval_s: int, is_kept: bool) -> list[int]:
    """How long a series may be silent: less than the range; or so long that an instant finds the range empty, but not
    where the alert is kept, since `on_no_data: ok` ends at once what `keep_firing_for` would hold."""
    if (
        kind in EXTRAPOLATED
    ):  # of one sample alone there is no rate, which ends an alert of Prometheus, and none of ours
        return [max(min(interval_s, range_s // 3 - MOST_JITTER_S), 1)]
    short = [min(gap_s, range_s - MOST_JITTER_S) for gap_s in (interval_s, range_s // 2, range_s)]
    return short if is_kept else [*short, range_s + interval_s, 2 * range_s + interval_s]


def _window(range_s: int, interval_s: int) -> dict[str, str]:
    if range_s == interval_s:
        return {"size": f"{range_s}s"}
    return {"type": "hopping", "size": f"{range_s}s", "step": f"{interval_s}s"}


def _expr(kind: str, range_s: int, operator: str, threshold: float) -> str:
    quantile = quantile_of(kind)
    if kind == "instant":
        looked_at = "m"
    elif quantile is not None:
        looked_at = f"quantile_over_time({quantile!r}, m[{range_s}s])"
    else:
        looked_at = f"{FUNCTIONS[kind]}(m[{range_s}s])"
    return f"{looked_at} {OPERATORS[operator]} {threshold!r}"


def _series(chance: Chance, kind: str, interval_s: int, is_on_grid: bool, gaps_s: Sequence[int]) -> Series:
    """Some samples, now and then none for long; a counter, which may begin anew, or a value that wanders."""
    every_s = interval_s if is_on_grid else min(chance.of((5, 10, 15, interval_s)), gaps_s[0])
    at_s, value, found = chance.whole(0, 3 * interval_s), float(chance.whole(1, 60)), []
    while at_s <= INSTANTS * interval_s:
        if is_on_grid:
            at_s += -at_s % interval_s
        elif at_s % interval_s == 0:
            at_s += 1
        found.append((at_s, value))
        at_s += chance.of(gaps_s) if chance.random() < 0.06 else every_s
        at_s += 0 if is_on_grid else chance.whole(0, MOST_JITTER_S - 1)
        value = _next(chance, kind, value)
    return tuple(found)


def _next(chance: Chance, kind: str, value: float) -> float:
    if kind in ("rate", "increase"):
        return float(chance.whole(0, 5)) if chance.random() < 0.04 else value + chance.whole(0, chance.of((2, 30)))
    lowest = 1 if kind in PERCENTILES else 0  # estimates of windows that hold a zero are coarser
    moved = chance.whole(0, 100) if chance.random() < 0.05 else value + chance.whole(-6, 6)
    return float(min(max(moved, lowest), 100))


def _threshold(chance: Chance, kind: str, rule: Rule, series: Sequence[Series], shift_ms: int) -> float:
    """Somewhere within what the windows come to: at a value where both compute the same bits, else between two."""
    windows = [values_of(rule, [(at_s * 1_000 - shift_ms, value) for at_s, value in some]) for some in series]
    values = sorted({one.value for some in windows for one in some if not math.isnan(one.value)})
    if not values:
        return 0.5
    if kind in WHOLE:
        return float(chance.of(values) + chance.of((0.0, 0.0, 0.5)))
    apart = APART if kind in PERCENTILES else 0.001
    pairs = [(low, high) for low, high in pairwise(values) if high - low > 2 * apart * max(abs(high), 1.0)]
    low, high = chance.of(pairs) if pairs else (values[-1], 2 * values[-1] + 2.0)
    return (low + high) / 2
