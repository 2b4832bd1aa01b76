"""Percentiles from a sketch of logarithmic buckets that can be merged in any order.

A bucket holds values within 2 % of each other, so a percentile is at most 1 % off. There are 256 buckets, from the
smallest size that occurs upwards, and one for zero: they reach over values that differ by a factor of up to 160. Of
values on both sides of zero the product of both sides' factors counts. Where values lie farther apart neighbouring
buckets are joined, all at once, until they fit: the error is 2 % up to a factor of 25,000, 4 % up to 6·10^8, and so on.

Buckets of DDSketch (Masson, Rim, Lee, VLDB 2019), joined uniformly as in UDDSketch (Epicoco et al. 2020). Which buckets
are in use follows from the lowest, the highest and the smallest value alone, so equal samples give equal sketches in
whatever order, pieces and partitions they come. The percentile between two samples is interpolated as in Prometheus.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.statistic import Figures, Mergeable, Run, Span
from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.rule import quantile_of

BUCKETS: Final = 256
_ERROR: Final = 0.01
_LOG_GAMMA: Final = float(np.log((1 + _ERROR) / (1 - _ERROR)))
_TINY: Final = 1e-12  # what lies nearer to zero counts as zero


def place(values: Floats) -> Ints:
    """The number of each value's bucket before any are joined: 0 for zero, negative for negative values."""
    size = np.abs(values)
    number = np.ceil((np.log(np.maximum(size, _TINY)) - np.log(_TINY)) / _LOG_GAMMA).astype(np.int64)
    return np.asarray(np.sign(values).astype(np.int64) * np.where(size <= _TINY, 0, np.maximum(number, 1)))


def joined(number: Ints, times: Ints) -> Ints:
    """The number of a bucket after neighbours were joined so many times."""
    width = np.left_shift(np.int64(1), times)
    return np.asarray(np.sign(number) * ((np.abs(number) + width - 1) // width))


@dataclass(frozen=True, slots=True)
class Grid:
    """Which buckets sketches use: how often neighbours are joined, how many next to zero are left out on either side,
    and the number of the lowest in use."""

    times: Ints
    left_out: Ints
    base: Ints

    @classmethod
    def of(cls, figures: Figures) -> "Grid":
        """The narrowest buckets that `low`, `high` and `nearest` leave room for."""
        some = figures["low"] <= figures["high"]
        first, last = (place(np.where(some, figures[name], 0.0)) for name in ("low", "high"))
        inner = place(np.where(np.isfinite(figures["nearest"]), figures["nearest"], 0.0))
        times = np.zeros(len(first), np.int64)
        while True:
            left_out = np.maximum(joined(inner, times) - 1, 0)
            base = _inwards(joined(first, times), left_out)
            wide = _inwards(joined(last, times), left_out) - base >= BUCKETS
            if not wide.any():
                return cls(times, left_out, base)
            times[wide] += 1

    def column(self, number: Ints, times: Ints | int, owner: Ints) -> Ints:
        """Where buckets that were joined so many times already lie in the sketches of their owners."""
        again = joined(number, self.times[owner] - times)
        return _inwards(again, self.left_out[owner]) - self.base[owner]

    def number(self, column: Ints, owner: Ints) -> Ints:
        """The number of the bucket in a column, after neighbours were joined."""
        inwards = self.base[owner] + column
        return np.asarray(np.sign(inwards) * (np.abs(inwards) + self.left_out[owner]))


def _inwards(number: Ints, left_out: Ints) -> Ints:
    return np.asarray(np.sign(number) * (np.abs(number) - left_out))


def estimate(number: Ints, times: Ints) -> Floats:
    """The value that a bucket stands for; of the widest it can be infinite, where no value of theirs is."""
    log_gamma = _LOG_GAMMA * np.exp2(times)
    with np.errstate(over="ignore"):
        size = np.exp(np.log(_TINY) + np.abs(number) * log_gamma + np.log(2) - np.logaddexp(0.0, log_gamma))
    return np.asarray(np.sign(number) * size)


def gathered(owner: Ints, counts: NDArray[Any], old: Grid, new: Grid, rows: int) -> Ints:
    """Buckets of sketches added up on the grids of their owners."""
    sketch, column = np.nonzero(counts)
    found = np.zeros((rows, BUCKETS), np.int64)
    if len(sketch):
        target = owner[sketch]
        at = new.column(old.number(column, sketch), old.times[sketch], target)
        np.add.at(found, (target, at), counts[sketch, column].astype(np.int64))
    return found


class Sketch(Mergeable):
    """Percentiles, with a relative error of 1 % and more as the module says; 1 KiB a pane."""

    name = "sketch"
    figures = {  # noqa: RUF012
        "buckets": ("u4", BUCKETS, 0),
        "low": ("f8", 0, np.inf),
        "high": ("f8", 0, -np.inf),
        "nearest": ("f8", 0, np.inf),  # the smallest size that is not as good as zero
    }

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        size = np.abs(run.values)
        size = np.where(size > _TINY, size, np.inf)
        reach = {
            "low": np.minimum(held["low"], np.minimum.reduceat(run.values, run.first)),
            "high": np.maximum(held["high"], np.maximum.reduceat(run.values, run.first)),
            "nearest": np.minimum(held["nearest"], np.minimum.reduceat(size, run.first)),
        }
        grid, groups = Grid.of(reach), len(run.first)
        counts = np.zeros((groups, BUCKETS), np.int64)
        if held["buckets"].any():
            counts = gathered(np.arange(groups), held["buckets"], Grid.of(held), grid, groups)
        np.add.at(counts, (run.group, grid.column(place(run.values), 0, run.group)), 1)
        return {"buckets": counts.astype(np.uint32), **reach}

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        quantile = quantile_of(aggregation)
        assert quantile is not None, aggregation
        windows, width = panes["low"].shape
        low, high = panes["low"].min(axis=1), panes["high"].max(axis=1)
        grid = Grid.of({"low": low, "high": high, "nearest": panes["nearest"].min(axis=1)})
        each = {name: figure.reshape(-1) for name, figure in panes.items() if name in ("low", "high", "nearest")}
        owner = np.repeat(np.arange(windows), width)
        counts = gathered(owner, panes["buckets"].reshape(-1, BUCKETS), Grid.of(each), grid, windows)
        below = np.cumsum(counts, axis=1)
        rank = quantile * (span.counts - 1)
        lower, upper = (self._value(below, rounded, grid, low, high) for rounded in (np.floor(rank), np.ceil(rank)))
        # By halves: the largest values lie farther apart than a number can say.
        found = 2 * (lower / 2 + (upper / 2 - lower / 2) * (rank - np.floor(rank)))
        return np.asarray(np.clip(found, low, high))

    def _value(self, below: Ints, rank: Floats, grid: Grid, low: Floats, high: Floats) -> Floats:
        """The value of a rank, counted from 0."""
        bucket = (below <= rank[:, None]).sum(axis=1)
        value = estimate(grid.number(np.minimum(bucket, BUCKETS - 1), np.arange(len(rank))), grid.times)
        value = np.where(rank <= 0, low, np.where(rank >= below[:, -1] - 1, high, value))
        return np.asarray(np.clip(value, low, high))

    def merge(self, one: Figures, other: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        reach = {
            "low": np.minimum(one["low"], other["low"]),
            "high": np.maximum(one["high"], other["high"]),
            "nearest": np.minimum(one["nearest"], other["nearest"]),
        }
        grid, own = Grid.of(reach), np.arange(len(reach["low"]))
        counts = sum(gathered(own, half["buckets"], Grid.of(half), grid, len(own)) for half in (one, other))
        return {"buckets": np.asarray(counts).astype(np.uint32), **reach}
