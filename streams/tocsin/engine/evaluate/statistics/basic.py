"""Count, sum and mean, minimum and maximum, first and last."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.statistic import COUNT, Figures, Mergeable, Run, Span, Statistic
from tocsin.engine.frame import Floats


class Count(Mergeable):
    """How many samples there are."""

    name = "count"
    figures = {COUNT: ("i8", 0, 0)}  # noqa: RUF012 - declared in Statistic

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        return {COUNT: held[COUNT] + (run.ends - run.first + 1)}

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        return span.counts.astype(np.float64)

    def merge(self, one: Figures, other: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        return {COUNT: one[COUNT] + other[COUNT]}


class Total(Statistic):
    """Sum and mean."""

    name = "total"
    figures = {"sum": ("f8", 0, 0.0)}  # noqa: RUF012

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        return {"sum": run.running_sum(held["sum"], run.values)}

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        total = np.asarray(panes["sum"].sum(axis=1))
        return total / span.counts if aggregation == "avg" else total


class Lowest(Mergeable):
    """Minimum."""

    name = "lowest"
    figures = {"min": ("f8", 0, np.inf)}  # noqa: RUF012

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        return {"min": np.minimum(held["min"], np.minimum.reduceat(run.values, run.first))}

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        return np.asarray(panes["min"].min(axis=1))

    def merge(self, one: Figures, other: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        return {"min": np.minimum(one["min"], other["min"])}


class Highest(Mergeable):
    """Maximum."""

    name = "highest"
    figures = {"max": ("f8", 0, -np.inf)}  # noqa: RUF012

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        return {"max": np.maximum(held["max"], np.maximum.reduceat(run.values, run.first))}

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        return np.asarray(panes["max"].max(axis=1))

    def merge(self, one: Figures, other: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        return {"max": np.maximum(one["max"], other["max"])}


class Earliest(Statistic):
    """The first value; of several at one time the one that came first."""

    name = "earliest"
    figures = {"first": ("f8", 0, 0.0), "first_ms": ("i8", 0, 2**62)}  # noqa: RUF012

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        run = run.by_time()
        at_ms = run.at_ms[run.first]
        earlier = at_ms < held["first_ms"]
        return {
            "first": np.where(earlier, run.values[run.first], held["first"]),
            "first_ms": np.where(earlier, at_ms, held["first_ms"]),
        }

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        oldest = panes["first_ms"].argmin(axis=1)
        return np.asarray(panes["first"][np.arange(len(oldest)), oldest])


class Latest(Statistic):
    """The last value; of several at one time the one that came last."""

    name = "latest"
    figures = {"last": ("f8", 0, 0.0), "last_ms": ("i8", 0, -1)}  # noqa: RUF012

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        run = run.by_time()
        at_ms = run.at_ms[run.ends]
        later = at_ms >= held["last_ms"]
        return {
            "last": np.where(later, run.values[run.ends], held["last"]),
            "last_ms": np.where(later, at_ms, held["last_ms"]),
        }

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        newest = panes["last_ms"].argmax(axis=1)
        return np.asarray(panes["last"][np.arange(len(newest)), newest])
