"""Sums that are exact, so that they are the same in whatever order, pieces and partitions the samples come.

A value is cut into parts of 26 bits along a grid that is the same for all values. Of a sum the seven highest parts are
kept, from that of its largest value down, each as a whole number: these add up without rounding, and which parts are
kept follows from the largest value alone. So a sum is exact as far down as 2^-156 of its largest value, some 47 decimal
places, and of up to 2^37 samples. The idea is that of reproducible summation (Demmel and Nguyen, 2013).
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.statistic import Figures, Mergeable, Run, Span
from tocsin.engine.frame import Floats, Ints

_BITS: Final = 26
_RADIX: Final = 2.0**_BITS
PLACES: Final = 7
_NOTHING: Final = -48  # below the top of the smallest float
_SQUARED_LIMIT: Final = 2.0**500
_LARGEST: Final = float(np.finfo(np.float64).max)
_SPLITTER: Final = 2.0**27 + 1

Parts = dict[str, Ints]  # "<name>": n x PLACES whole numbers, "<name>_top": n, the grid line above the highest part


def spec_of(*names: str) -> Spec:
    """The figures of some sums."""
    found: Spec = {}
    for name in names:
        found |= {name: ("i8", PLACES, 0), f"{name}_top": ("i8", 0, _NOTHING)}
    return found


def folded(name: str, held: Figures, values: Floats, group: Ints, first: Ints) -> Parts:
    """A sum of each group after some values, which lie group by group."""
    highest = np.maximum.reduceat(np.abs(values), first)
    exponent = np.frexp(highest)[1].astype(np.int64)
    top = np.maximum(held[f"{name}_top"], np.where(highest > 0, -(-exponent // _BITS), _NOTHING))
    parts = _on_grid(held[name], top - held[f"{name}_top"]).copy()
    rest = np.ldexp(values, (_BITS * (1 - top)).astype(np.int32)[group])
    for place in range(PLACES):
        part = np.trunc(rest)
        parts[:, place] += np.bincount(group, weights=part, minlength=len(first)).astype(np.int64)
        rest = rest - part
        if not rest.any():
            break
        rest *= _RADIX
    return {name: parts, f"{name}_top": top}


def merged(name: str, one: Figures, other: Figures) -> Parts:
    """The sum of two sums, row by row."""
    key = f"{name}_top"
    top = np.maximum(one[key], other[key])
    return {name: _on_grid(one[name], top - one[key]) + _on_grid(other[name], top - other[key]), key: top}


def over_panes(name: str, panes: Figures) -> tuple[Ints, Ints]:
    """Parts and tops of windows: figures are windows x panes."""
    tops = panes[f"{name}_top"]
    top = tops.max(axis=1)
    lower = np.where(tops == _NOTHING, 0, top[:, None] - tops)  # of nothing every place is zero
    shifted = _on_grid(panes[name].reshape(-1, PLACES), lower.reshape(-1))
    return shifted.reshape(panes[name].shape).sum(axis=1), top


def total(parts: Ints, top: Ints) -> Floats:
    """The sums that parts stand for, rounded once: within one unit in the last place."""
    digits = _carried(parts)
    below = digits[:, 0] < 0
    if below.any():
        digits[below] = _carried(-parts[below])  # digits of one sign: adding them up cancels nothing
    found = np.zeros(len(parts))
    for place in range(PLACES - 1, -1, -1):
        found = found / _RADIX + digits[:, place]
    with np.errstate(over="ignore"):
        return np.asarray(np.ldexp(np.where(below, -found, found), (_BITS * (top - 1)).astype(np.int32)))


def _carried(parts: Ints) -> Ints:
    """The same sums with every place but the first in [0, 2^26)."""
    digits = parts.copy()
    for place in range(PLACES - 1, 0, -1):
        carry = digits[:, place] >> _BITS
        digits[:, place] -= carry << _BITS
        digits[:, place - 1] += carry
    return digits


def _on_grid(parts: Ints, lower: Ints) -> Ints:
    """Parts seen from a grid line that lies `lower` places higher; what falls off the end is dropped."""
    moved = np.flatnonzero(lower)
    if not len(moved):
        return parts
    found = parts.copy()
    at = np.arange(PLACES) - lower[moved, None]
    found[moved] = np.where(at >= 0, np.take_along_axis(parts[moved], np.maximum(at, 0), axis=1), 0)
    return found


def _wholes(parts: Ints, top: Ints) -> list[tuple[int, int]]:
    """The same sums as whole numbers and the powers of two that they are multiples of."""
    digits = _carried(parts)
    pairs = [((digits[:, place] << _BITS) + digits[:, place + 1]).tolist() for place in range(1, PLACES, 2)]
    shift = 2 * _BITS
    wholes = digits[:, 0].tolist()
    for pair in pairs:
        wholes = [(whole << shift) + more for whole, more in zip(wholes, pair, strict=True)]
    return list(zip(wholes, (_BITS * (top - PLACES)).tolist(), strict=True))


def _variance(value: tuple[int, int], square: tuple[int, int], rest: tuple[int, int], count: int) -> float:
    """From a sum, and sums of squares and of what rounding took from them; rounded once."""
    lowest = min(2 * value[1], square[1], rest[1])
    squares = (square[0] << square[1] - lowest) + (rest[0] << rest[1] - lowest)
    apart = max(squares * count - (value[0] * value[0] << 2 * value[1] - lowest), 0)
    among = count * count
    return apart / (among << -lowest) if lowest < 0 else (apart << lowest) / among


class _Sums(Mergeable):
    """Sums by name."""

    names: tuple[str, ...]

    def merge(self, one: Figures, other: Figures) -> dict[str, NDArray[Any]]:
        """See Mergeable."""
        found: dict[str, NDArray[Any]] = {}
        for name in self.names:
            found |= merged(name, one, other)
        return found

    def added(self, held: Figures, values: Mapping[str, Floats], run: Run) -> dict[str, NDArray[Any]]:
        """Each sum after more values."""
        found: dict[str, NDArray[Any]] = {}
        for name in self.names:
            found |= folded(name, held, values[name], run.group, run.first)
        return found


class ExactTotal(_Sums):
    """Sum and mean of groups."""

    name = "exact_total"
    names = ("sum",)
    figures = spec_of(*names)

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        return self.added(held, {"sum": run.values}, run)

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        found = total(*over_panes("sum", panes))
        return found / span.counts if aggregation == "avg" else found


class ExactGrowth(_Sums):
    """`increase`, `rate` and `delta` of groups: the sum over their series of what each grew, sample by sample.

    Unlike a single series', nothing is extrapolated: what grew between two samples counts where the later one lies.
    """

    name = "exact_growth"
    names = ("growth", "drift")
    figures = spec_of(*names)
    needs_order = True

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        assert run.before is not None, "growth needs each sample's predecessor"
        with np.errstate(over="ignore"):
            drift = np.clip(run.values - run.before, -_LARGEST, _LARGEST)
        drift = np.where(np.isnan(run.before), 0.0, drift)
        growth = np.where(run.values < run.before, run.values, drift)
        return self.added(held, {"growth": growth, "drift": drift}, run)

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        found = total(*over_panes("drift" if aggregation == "delta" else "growth", panes))
        return found / ((span.end_ms - span.begin_ms) / 1_000) if aggregation == "rate" else found


class ExactSpread(_Sums):
    """The standard deviation of groups, from exact sums of values and of squares; values beyond 2^500 count as that."""

    name = "exact_spread"
    names = ("values", "squares", "rests")
    figures = spec_of(*names)

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        values = np.clip(run.values, -_SQUARED_LIMIT, _SQUARED_LIMIT)
        square, rest = _squared(values)
        return self.added(held, {"values": values, "squares": square, "rests": rest}, run)

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        sums = [_wholes(*over_panes(name, panes)) for name in self.names]
        return np.array([_variance(*one) ** 0.5 for one in zip(*sums, span.counts.tolist(), strict=True)], np.float64)


def _squared(values: Floats) -> tuple[Floats, Floats]:
    """A square and what rounding took from it (Dekker's product)."""
    high = values * _SPLITTER
    high = high - (high - values)
    low = values - high
    square = values * values
    return square, ((high * high - square) + 2 * high * low) + low * low
