"""Tumbling and hopping windows on event time, as panes of one hop that overlapping windows share.

A series' window closes when a sample at or after its end is taken (samples come in event order), or when nothing has
come for a while. Sums are carried on strictly in order, so that they do not depend on where the input is cut.
"""

from collections.abc import Callable

import numpy as np

from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.judge import Points, RuleVersion
from tocsin.engine.evaluate.lane import Lane, running_maximum, segments
from tocsin.engine.evaluate.plan import LaneSpec
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.signal import Evidence, Signal

_UNOPENED = -1


class WindowLane(Lane):
    """`start` is where a slot's open hop begins; column `at // hop % panes` of each pane array holds that hop."""

    def __init__(self, spec: LaneSpec, rules: dict[str, list[RuleVersion]], series: SeriesTable) -> None:
        assert spec.window is not None
        self.size, self.hop = spec.window.size, spec.window.hop_ms
        self.panes = self.size // self.hop
        own: Spec = {
            "start": ("i8", 0, _UNOPENED),
            "count": ("i8", self.panes, 0),
            "sum": ("f8", self.panes, 0.0),
            "min": ("f8", self.panes, np.inf),
            "max": ("f8", self.panes, -np.inf),
            "latest": ("f8", self.panes, 0.0),
            "latest_ms": ("i8", self.panes, -1),
        }
        super().__init__(spec, rules, series, own)

    def take(self, samples: Samples, out: list[Signal]) -> None:
        """See Lane."""
        slots = self.slots(samples.series)
        hops = samples.at_ms // self.hop * self.hop
        keep = slots >= 0
        if not keep.all():
            slots, hops, samples = slots[keep], hops[keep], samples.take(keep)
        if not len(slots):
            return
        begins = segments(slots)
        late = hops < running_maximum(hops, begins, self.columns["start"][slots[begins[:-1]]])
        if late.any():
            self.late += int(late.sum())
            slots, hops, samples = slots[~late], hops[~late], samples.take(~late)
            if not len(slots):
                return
        self._add(slots, hops, samples, out)

    def _add(self, slots: Ints, hops: Ints, samples: Samples, out: list[Signal]) -> None:
        """Samples of one hop of one slot make a group; the k-th group of every slot is taken in round k."""
        change = (np.diff(slots) != 0) | (np.diff(hops) != 0)
        first = np.concatenate(([0], np.flatnonzero(change) + 1))
        group_slots, group_hops = slots[first], hops[first]
        totals = self._totals(samples, slots, hops, first)
        slot_begins = segments(group_slots)
        rank = np.arange(len(first)) - np.repeat(slot_begins[:-1], np.diff(slot_begins))
        for turn in range(int(rank.max()) + 1):
            chosen = np.flatnonzero(rank == turn)
            self._advance(group_slots[chosen], group_hops[chosen], out)
            self._store(group_slots[chosen], group_hops[chosen], {name: t[chosen] for name, t in totals.items()})
        self.columns.touch(group_slots)
        ends = slot_begins[1:] - 1
        self.columns["last"][group_slots[ends]] = group_hops[ends]

    def _totals(self, samples: Samples, slots: Ints, hops: Ints, first: Ints) -> dict[str, Floats | Ints]:
        """Each group's aggregates, where a group goes on with an open pane the sum from that pane's."""
        values = samples.values
        sizes = np.diff(np.concatenate((first, [len(values)])))
        group = np.repeat(np.arange(len(first)), sizes)
        open_slots = slots[first]
        going_on = np.flatnonzero(self.columns["start"][open_slots] == hops[first])
        pane = hops[first][going_on] // self.hop % self.panes
        carried = self.columns["sum"][open_slots[going_on], pane]
        sums = np.bincount(
            np.concatenate((going_on, group)), weights=np.concatenate((carried, values)), minlength=len(first)
        )
        order = np.lexsort((samples.at_ms, group))
        ends = first + sizes - 1
        return {
            "sum": sums,
            "count": sizes,
            "min": np.minimum.reduceat(values, first),
            "max": np.maximum.reduceat(values, first),
            "latest": values[order][ends],
            "latest_ms": samples.at_ms[order][ends],
        }

    def _store(self, slots: Ints, hops: Ints, totals: dict[str, Floats | Ints]) -> None:
        columns, at = self.columns, (slots, hops // self.hop % self.panes)
        columns["sum"][at] = totals["sum"]
        columns["count"][at] += totals["count"].astype(np.int64)
        columns["min"][at] = np.minimum(columns["min"][at], totals["min"])
        columns["max"][at] = np.maximum(columns["max"][at], totals["max"])
        newer = totals["latest_ms"] >= columns["latest_ms"][at]
        columns["latest"][at] = np.where(newer, totals["latest"], columns["latest"][at])
        columns["latest_ms"][at] = np.where(newer, totals["latest_ms"], columns["latest_ms"][at])

    def _advance(self, slots: Ints, hops: Ints, out: list[Signal]) -> None:
        """Move each slot's open hop up to `hops`, closing the windows that end on the way."""
        start = self.columns["start"]
        fresh = start[slots] == _UNOPENED
        start[slots[fresh]] = hops[fresh]
        behind = np.flatnonzero(start[slots] < hops)
        while len(behind):
            chosen = slots[behind]
            self._close(chosen, out)
            empty = ~self.columns["count"][chosen].any(axis=1)
            start[chosen[empty]] = hops[behind[empty]]
            behind = behind[start[chosen] < hops[behind]]

    def _close(self, slots: Ints, out: list[Signal]) -> None:
        """Judge the window that ends with each slot's open hop, then open the next hop."""
        columns = self.columns
        ends = columns["start"][slots] + self.hop
        counts = columns["count"][slots].sum(axis=1)
        if (counts > 0).all():
            judged, judged_ends, judged_counts = slots, ends, counts
        else:
            some = counts > 0
            judged, judged_ends, judged_counts = slots[some], ends[some], counts[some]
        if len(judged):
            order = np.argsort(judged, kind="stable")
            judged, judged_ends, judged_counts = judged[order], judged_ends[order], judged_counts[order]
            begins = np.arange(len(judged) + 1)
            evidence = self._evidence(judged_ends, judged_counts)
            points = {
                aggregate: Points(judged, begins, judged_ends, self._value(aggregate, judged, judged_counts), evidence)
                for aggregate in self.judges
            }
            self.judge_all(points, out)
        columns["start"][slots] = ends
        pane = ends // self.hop % self.panes
        for name, (_, _, initial) in columns.spec.items():
            if name in ("count", "sum", "min", "max", "latest", "latest_ms"):
                columns[name][slots, pane] = initial

    def _value(self, aggregate: str, slots: Ints, counts: Ints) -> Floats:
        columns = self.columns
        if aggregate == "count":
            return counts.astype(np.float64)
        if aggregate in ("sum", "avg"):
            total = np.asarray(columns["sum"][slots].sum(axis=1))
            return total / counts if aggregate == "avg" else total
        if aggregate == "min":
            return np.asarray(columns["min"][slots].min(axis=1))
        if aggregate == "max":
            return np.asarray(columns["max"][slots].max(axis=1))
        assert aggregate == "last", aggregate
        newest = columns["latest_ms"][slots].argmax(axis=1)
        return np.asarray(columns["latest"][slots, newest])

    def _evidence(self, ends: Ints, counts: Ints) -> Callable[[int], Evidence]:
        def evidence(index: int) -> Evidence:
            end = int(ends[index])
            return Evidence(metric=self.spec.metric, window=(end - self.size, end), samples=int(counts[index]))

        return evidence

    def quiet(self, clock_ms: int, quiet_ms: int, out: list[Signal]) -> None:
        """Close windows whose end lies `quiet_ms` (and the lateness) back, of series from which nothing came since."""
        count = self.columns.count
        if not count:
            return
        start = self.columns["start"][:count]
        past_ms = clock_ms - quiet_ms - self.spec.lateness_ms - self.hop
        candidates = np.flatnonzero((start != _UNOPENED) & (start <= past_ms))
        if not len(candidates):
            return
        arrived = self.series.columns["arrived"][self.columns["series"][candidates]]
        chosen = candidates[arrived <= clock_ms - quiet_ms]
        chosen = chosen[self.columns["count"][chosen].any(axis=1)]
        while len(chosen):
            self._close(chosen, out)
            self.columns.touch(chosen)
            chosen = chosen[self.columns["count"][chosen].any(axis=1) & (self.columns["start"][chosen] <= past_ms)]
