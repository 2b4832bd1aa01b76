"""`rate` and `increase` of counters that may begin anew, and `delta` of gauges, as Prometheus defines them.

The first and last sample of a window seldom lie at its ends, so what they show is extrapolated to the ends, by at most
half a mean gap where a series seems to begin or end inside, and never below zero (promql's `extrapolatedRate`).
A window with a single sample has no answer: NaN, which no condition meets.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.points import running_maximum
from tocsin.engine.evaluate.statistic import COUNT, Figures, Run, Span, Statistic
from tocsin.engine.frame import Floats, Ints


def increments(values: Floats, before: Floats) -> Floats:
    """How far a counter went from one value to the next; a lower value means that it began anew at zero."""
    return np.where(values < before, values, values - before)


def extrapolated(aggregation: str, change: Floats, first: Floats, first_ms: Ints, last_ms: Ints, span: Span) -> Floats:
    """What a change between two samples comes to over the whole window."""
    with np.errstate(divide="ignore", invalid="ignore"):
        sampled = (last_ms - first_ms) / 1_000
        to_start, to_end = (first_ms - span.begin_ms) / 1_000, (span.end_ms - last_ms) / 1_000
        gap = sampled / (span.counts - 1)
        edge = gap * 1.1
        to_start = np.where(to_start >= edge, gap / 2, to_start)
        if aggregation != "delta":
            to_zero = sampled * (first / change)
            to_start = np.where((change > 0) & (first >= 0) & (to_zero < to_start), to_zero, to_start)
        to_end = np.where(to_end >= edge, gap / 2, to_end)
        grown = change * ((sampled + to_start + to_end) / sampled)
        if aggregation == "rate":
            grown = grown / ((span.end_ms - span.begin_ms) / 1_000)
    return np.asarray(np.where((span.counts > 1) & (sampled > 0), grown, np.nan))


class Counter(Statistic):
    """First and last sample, and the sum of increments between neighbours."""

    name = "counter"
    figures = {  # noqa: RUF012
        "from": ("f8", 0, 0.0),
        "from_ms": ("i8", 0, 2**62),
        "to": ("f8", 0, np.nan),
        "to_ms": ("i8", 0, -1),
        "grown": ("f8", 0, 0.0),
    }

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic; a sample that is older than one before it says nothing about what a counter did since."""
        begins = np.concatenate((run.first, [len(run.values)]))
        stale = run.at_ms < running_maximum(run.at_ms, begins, held["to_ms"])
        if not stale.any():
            return self._in_order(run, held)
        if stale.all():
            return dict(held)
        groups, first, group = np.unique(run.group[~stale], return_index=True, return_inverse=True)
        kept = Run(run.at_ms[~stale], run.values[~stale], group, first)
        found = {name: held[name].copy() for name in self.figures}
        for name, figure in self._in_order(kept, {name: held[name][groups] for name in self.figures}).items():
            found[name][groups] = figure
        return found

    def _in_order(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        before = np.empty(len(run.values))
        before[1:] = run.values[:-1]
        before[run.first] = held["to"]
        fresh = np.isnan(held["to"])
        grown = np.where(np.isnan(before), 0.0, increments(run.values, before))
        return {
            "from": np.where(fresh, run.values[run.first], held["from"]),
            "from_ms": np.where(fresh, run.at_ms[run.first], held["from_ms"]),
            "to": run.values[run.ends],
            "to_ms": run.at_ms[run.ends],
            "grown": run.running_sum(held["grown"], grown),
        }

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        count = panes[COUNT]
        grown = np.zeros(len(count))
        first, last = np.full(len(count), np.nan), np.full(len(count), np.nan)
        for pane in range(count.shape[1]):
            some = count[:, pane] > 0
            began = panes["from"][:, pane]
            joined = np.where(np.isnan(last), 0.0, increments(began, last))
            grown = np.where(some, grown + joined + panes["grown"][:, pane], grown)
            first = np.where(some & np.isnan(first), began, first)
            last = np.where(some, panes["to"][:, pane], last)
        change = last - first if aggregation == "delta" else grown
        first_ms, last_ms = panes["from_ms"].min(axis=1), panes["to_ms"].max(axis=1)
        return extrapolated(aggregation, change, first, first_ms, last_ms, span)
