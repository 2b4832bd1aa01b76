"""Sums that are exact, so that they are the same in whatever order, pieces and partitions the samples come.

A value is cut along a fixed grid into seven parts of 26 bits (from 2^78 down to 2^-104). Sums of such parts are whole
numbers of their grid step, exact in a float for up to 2^27 samples, and so do not depend on their order. What lies
beyond 2^78 (3·10^23), or is finer than 2^-104, is added up plainly in an eighth place. The idea of a fixed grid is
that of reproducible summation (Demmel and Nguyen, 2013).
"""

from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.statistic import Figures, Mergeable, Run, Span
from tocsin.engine.frame import Floats

_GRID: Final = [2.0**power for power in range(52, -105, -26)]
_LIMIT: Final = 2.0**78
PLACES: Final = len(_GRID) + 1
_SPLITTER: Final = 2.0**27 + 1


def places(values: Floats) -> Floats:
    """Values cut into their parts: n x PLACES."""
    found = np.zeros((len(values), PLACES))
    large = np.abs(values) >= _LIMIT
    rest = np.where(large, 0.0, values)
    for place, step in enumerate(_GRID):
        part = np.trunc(rest / step) * step
        found[:, place] = part
        rest = rest - part
    found[:, -1] = np.where(large, values, rest)
    return found


def summed(parts: Floats, group: NDArray[np.int64], groups: int) -> Floats:
    """The parts of each group added up, place by place."""
    return np.stack([np.bincount(group, weights=parts[:, place], minlength=groups) for place in range(PLACES)], axis=1)


def total(parts: Floats) -> Floats:
    """The sums that parts stand for; the last axis is that of places."""
    found = np.zeros(parts.shape[:-1])
    for place in range(PLACES - 1, -1, -1):
        found = found + parts[..., place]
    return found


class ExactTotal(Mergeable):
    """Sum and mean of groups."""

    name = "exact_total"
    figures = {"parts": ("f8", PLACES, 0.0)}  # noqa: RUF012 - declared in Statistic

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        return {"parts": held["parts"] + summed(places(run.values), run.group, len(run.first))}

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        found = total(panes["parts"].sum(axis=1))
        return found / span.counts if aggregation == "avg" else found

    def merge(self, one: Figures, other: Figures) -> dict[str, NDArray[Any]]:
        """See Mergeable."""
        return {"parts": one["parts"] + other["parts"]}


class ExactGrowth(Mergeable):
    """`increase`, `rate` and `delta` of groups: the sum over their series of what each grew, sample by sample.

    Unlike a single series', nothing is extrapolated: what grew between two samples counts where the later one lies.
    """

    name = "exact_growth"
    figures = {"growth": ("f8", PLACES, 0.0), "drift": ("f8", PLACES, 0.0)}  # noqa: RUF012

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        assert run.before is not None, "growth needs each sample's predecessor"
        fresh = np.isnan(run.before)
        drift = np.where(fresh, 0.0, run.values - run.before)
        growth = np.where(fresh, 0.0, np.where(run.values < run.before, run.values, drift))
        groups = len(run.first)
        return {
            "growth": held["growth"] + summed(places(growth), run.group, groups),
            "drift": held["drift"] + summed(places(drift), run.group, groups),
        }

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        found = total(panes["drift" if aggregation == "delta" else "growth"].sum(axis=1))
        return found / ((span.end_ms - span.begin_ms) / 1_000) if aggregation == "rate" else found

    def merge(self, one: Figures, other: Figures) -> dict[str, NDArray[Any]]:
        """See Mergeable."""
        return {name: one[name] + other[name] for name in ("growth", "drift")}


class ExactSpread(Mergeable):
    """The standard deviation of groups, from exact sums of values and of squares."""

    name = "exact_spread"
    figures = {"values": ("f8", PLACES, 0.0), "squares": ("f8", PLACES, 0.0)}  # noqa: RUF012

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        square, rest = _squared(run.values)
        groups = len(run.first)
        squares = summed(places(square), run.group, groups) + summed(places(rest), run.group, groups)
        values = held["values"] + summed(places(run.values), run.group, groups)
        return {"values": values, "squares": held["squares"] + squares}

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        values, squares = panes["values"].sum(axis=1), panes["squares"].sum(axis=1)
        found = np.empty(len(values))
        for row in range(len(values)):
            count = int(span.counts[row])
            value, square = (sum(map(Fraction, parts.tolist()), Fraction()) for parts in (values[row], squares[row]))
            found[row] = float(max(square - value * value / count, Fraction()) / count) ** 0.5
        return found

    def merge(self, one: Figures, other: Figures) -> dict[str, NDArray[Any]]:
        """See Mergeable."""
        return {name: one[name] + other[name] for name in ("values", "squares")}


def _squared(values: Floats) -> tuple[Floats, Floats]:
    """A square and what rounding took from it (Dekker's product)."""
    scaled = np.clip(values, -_LIMIT, _LIMIT)
    high = scaled * _SPLITTER
    high = high - (high - scaled)
    low = scaled - high
    square = scaled * scaled
    return square, ((high * high - square) + 2 * high * low) + low * low
