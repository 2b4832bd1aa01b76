"""Percentiles from a sketch of logarithmic buckets that can be merged in any order.

A bucket holds values within 2 % of each other, so a percentile is at most 1 % off. There are 256 buckets: they reach
over values that differ by a factor of up to 160. Where values lie farther apart neighbouring buckets are joined, all at
once, until they fit: the error is 2 % up to a factor of 25,000, 4 % up to 6·10^8, and so on. Of values on both sides of
zero it is up to 27 %, since the sketch must then reach down to 10^-12.

Buckets of DDSketch (Masson, Rim, Lee, VLDB 2019), joined uniformly as in UDDSketch (Epicoco et al. 2020). Which buckets
are in use follows from the lowest and the highest value alone, so equal samples give equal sketches in whatever order,
pieces and partitions they come. The percentile between two samples is interpolated as in Prometheus.
"""

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


def grid(low: Floats, high: Floats) -> tuple[Ints, Ints]:
    """How often buckets are joined, and the number of the lowest one in use, where values lie between low and high."""
    some = low <= high
    first, last = place(np.where(some, low, 0.0)), place(np.where(some, high, 0.0))
    times = np.zeros(len(low), np.int64)
    while True:
        wide = joined(last, times) - joined(first, times) >= BUCKETS
        if not wide.any():
            return times, joined(first, times)
        times[wide] += 1


def estimate(number: Ints, times: Ints) -> Floats:
    """The value that a bucket stands for; of the widest it can be infinite, where no value of theirs is."""
    log_gamma = _LOG_GAMMA * np.exp2(times)
    with np.errstate(over="ignore"):
        size = np.exp(np.log(_TINY) + np.abs(number) * log_gamma + np.log(2) - np.logaddexp(0.0, log_gamma))
    return np.asarray(np.sign(number) * size)


def gathered(owner: Ints, counts: NDArray[Any], old: tuple[Ints, Ints], new: tuple[Ints, Ints], rows: int) -> Ints:
    """Buckets of sketches added up on the grids of their owners."""
    sketch, bucket = np.nonzero(counts)
    found = np.zeros((rows, BUCKETS), np.int64)
    if len(sketch):
        target = owner[sketch]
        again = new[0][target] - old[0][sketch]
        at = joined(old[1][sketch] + bucket, again) - new[1][target]
        np.add.at(found, (target, at), counts[sketch, bucket].astype(np.int64))
    return found


class Sketch(Mergeable):
    """Percentiles, with a relative error of 1 % and more as the module says; 1 KiB a pane."""

    name = "sketch"
    figures = {  # noqa: RUF012
        "buckets": ("u4", BUCKETS, 0),
        "low": ("f8", 0, np.inf),
        "high": ("f8", 0, -np.inf),
    }

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        low = np.minimum(held["low"], np.minimum.reduceat(run.values, run.first))
        high = np.maximum(held["high"], np.maximum.reduceat(run.values, run.first))
        times, base = grid(low, high)
        counts = held["buckets"]
        if counts.any():
            counts = gathered(np.arange(len(low)), counts, grid(held["low"], held["high"]), (times, base), len(low))
        else:
            counts = np.zeros((len(low), BUCKETS), np.int64)
        at = joined(place(run.values), times[run.group]) - base[run.group]
        np.add.at(counts, (run.group, at), 1)
        return {"buckets": counts.astype(np.uint32), "low": low, "high": high}

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        quantile = quantile_of(aggregation)
        assert quantile is not None, aggregation
        windows, width = panes["low"].shape
        low, high = panes["low"].min(axis=1), panes["high"].max(axis=1)
        new = grid(low, high)
        old = grid(panes["low"].reshape(-1), panes["high"].reshape(-1))
        owner = np.repeat(np.arange(windows), width)
        counts = gathered(owner, panes["buckets"].reshape(-1, BUCKETS), old, new, windows)
        below = np.cumsum(counts, axis=1)
        rank = quantile * (span.counts - 1)
        lower, upper = (self._value(below, rounded, new, low, high) for rounded in (np.floor(rank), np.ceil(rank)))
        # By halves: the largest values lie farther apart than a number can say.
        found = 2 * (lower / 2 + (upper / 2 - lower / 2) * (rank - np.floor(rank)))
        return np.asarray(np.clip(found, low, high))

    def _value(self, below: Ints, rank: Floats, at: tuple[Ints, Ints], low: Floats, high: Floats) -> Floats:
        """The value of a rank, counted from 0."""
        bucket = (below <= rank[:, None]).sum(axis=1)
        value = estimate(at[1] + np.minimum(bucket, BUCKETS - 1), at[0])
        value = np.where(rank <= 0, low, np.where(rank >= below[:, -1] - 1, high, value))
        return np.asarray(np.clip(value, low, high))

    def merge(self, one: Figures, other: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        low, high = np.minimum(one["low"], other["low"]), np.maximum(one["high"], other["high"])
        new, own = grid(low, high), np.arange(len(low))
        counts = sum(
            gathered(own, half["buckets"], grid(half["low"], half["high"]), new, len(low)) for half in (one, other)
        )
        return {"buckets": np.asarray(counts).astype(np.uint32), "low": low, "high": high}
