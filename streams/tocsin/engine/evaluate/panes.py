"""Tumbling and hopping windows on event time, as panes of one hop that overlapping windows share.

A series' window closes when a sample at or after its end is taken (samples come in event order), or when nothing has
come for a while. Figures are carried on strictly in order, so that they do not depend on where the input is cut.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.lane import FREE, Lane
from tocsin.engine.evaluate.plan import Judged, LaneSpec
from tocsin.engine.evaluate.points import Points, running_maximum, segments
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.evaluate.statistic import COUNT, Run, Span, Statistic
from tocsin.engine.evaluate.statistics import statistic_of, statistics_of
from tocsin.engine.frame import Floats, Ints
from tocsin.engine.ingest.step import UNSEEN_MS
from tocsin.schemas.signal import Evidence, Signal

UNOPENED = -1
Held = dict[str, NDArray[Any]]


class PaneTable:
    """The figures of panes: a row a slot, `panes` panes in a row, some of which are being filled."""

    def __init__(self, statistics: dict[str, Statistic], panes: int) -> None:
        self.statistics, self.panes = statistics, panes
        self.figures: Spec = {}
        for statistic in statistics.values():
            self.figures |= statistic.figures

    def spec(self) -> Spec:
        """The columns it needs: the figures, and since when each statistic has been kept of a slot."""
        since: Spec = {f"since_{name}": ("i8", 0, UNSEEN_MS) for name in self.statistics}
        return since | {
            name: (kind, self.panes * max(width, 1), initial) for name, (kind, width, initial) in self.figures.items()
        }

    def with_aggregates(self, aggregates: set[str], columns: Columns, slots: Ints, since_ms: Ints) -> "PaneTable":
        """The table for other aggregations. Of slots in use, what was not kept so far is kept whole from `since_ms`."""
        after = PaneTable(statistics_of(aggregates), self.panes)
        others = {name: spec for name, spec in columns.spec.items() if name not in self.spec()}
        columns.reshape(others | after.spec())
        for name in after.statistics:
            if name not in self.statistics:
                columns[f"since_{name}"][slots] = since_ms
        return after

    def view(self, columns: Any, name: str) -> NDArray[Any]:
        """A figure as rows x panes, or rows x panes x width."""
        width = self.figures[name][1]
        array: NDArray[Any] = columns[name]
        return array.reshape(len(array), self.panes, width) if width else array

    def initial(self, rows: int) -> Held:
        """Figures of panes that hold nothing."""
        return {
            name: np.full((rows, width) if width else rows, initial, dtype=kind)
            for name, (kind, width, initial) in self.figures.items()
        }

    def held(self, columns: Any, slots: Ints, panes: Ints, going_on: NDArray[np.bool_]) -> Held:
        """Figures of the panes that groups go on with, and fresh ones for the rest."""
        found = self.initial(len(slots))
        if going_on.any():
            at = slots[going_on], panes[going_on]
            for name, array in found.items():
                array[going_on] = self.view(columns, name)[at]
        return found

    def fold(self, run: Run, held: Held) -> Held:
        """The figures of each group after its samples."""
        found: Held = {}
        for statistic in self.statistics.values():
            found |= statistic.fold(run, {name: held[name] for name in statistic.figures})
        return found

    def store(self, columns: Any, slots: Ints, panes: Ints, figures: Held) -> None:
        """Put figures in place."""
        for name, array in figures.items():
            self.view(columns, name)[slots, panes] = array

    def clear(self, columns: Any, slots: Ints, panes: Ints) -> None:
        """Empty a pane of each slot."""
        for name, (_, _, initial) in self.figures.items():
            self.view(columns, name)[slots, panes] = initial

    def answers(self, columns: Any, slots: Ints, panes: Ints, span: Span, aggregates: set[str]) -> dict[str, Floats]:
        """Aggregations over some panes of each slot: `panes` is slots x panes, the oldest first."""
        rows = slots[:, None]
        found: dict[str, Floats] = {}
        chosen: dict[str, NDArray[Any]] = {COUNT: self.view(columns, COUNT)[rows, panes]}
        for aggregate in aggregates:
            statistic = statistic_of(aggregate)
            for name in statistic.figures:
                if name not in chosen:
                    chosen[name] = self.view(columns, name)[rows, panes]
            answer = statistic.answer(aggregate, chosen, span)
            partial = columns[f"since_{statistic.name}"][slots] > span.begin_ms
            found[aggregate] = np.where(partial, np.nan, answer)
        return found


class PaneLane(Lane):
    """`start` is where a slot's open hop begins; pane `at // hop % panes` holds that hop. `began` is its first sample.

    Samples of an open hop may come in any order.
    """

    def __init__(self, spec: LaneSpec, judged: Judged, series: SeriesTable) -> None:
        assert spec.window is not None
        self.size, self.hop = spec.window.length_ms, spec.window.hop_ms
        aggregates = {source.aggregate for source, _ in judged.values()}
        self.panes = PaneTable(statistics_of(aggregates), self.size // self.hop)
        own: Spec = {"start": ("i8", 0, UNOPENED), "began": ("i8", 0, UNOPENED)}
        figures = self.panes.spec()
        assert not own.keys() & figures.keys()
        super().__init__(spec, judged, series, own | figures)

    def adopt(self, judged: Judged) -> None:
        """See Lane; what was not kept of an open hop is answered from the next one on."""
        super().adopt(judged)
        slots = self.occupied()
        start = self.columns["start"][slots]
        since_ms = np.where(start == UNOPENED, UNSEEN_MS, start + self.hop)
        self.panes = self.panes.with_aggregates(self.aggregates, self.columns, slots, since_ms)

    def take(self, samples: Samples, out: list[Signal]) -> None:
        """See Lane."""
        slots = self.slots(samples.series)
        hops = samples.at_ms // self.hop * self.hop
        keep = slots != FREE
        if not keep.all():
            slots, hops, samples = slots[keep], hops[keep], samples.take(keep)
        if not len(slots):
            return
        begins = segments(slots)
        late = hops < running_maximum(hops, begins, self.columns["start"][slots[begins[:-1]]])
        if late.any():
            self.note_late(samples.take(late))
            slots, hops, samples = slots[~late], hops[~late], samples.take(~late)
            if not len(slots):
                return
        self._add(slots, hops, samples, out)

    def _add(self, slots: Ints, hops: Ints, samples: Samples, out: list[Signal]) -> None:
        """Samples of one hop of one slot make a group; the k-th group of every slot is taken in round k."""
        change = (np.diff(slots) != 0) | (np.diff(hops) != 0)
        first = np.concatenate(([0], np.flatnonzero(change) + 1))
        group_slots, group_hops = slots[first], hops[first]
        group = np.repeat(np.arange(len(first)), np.diff(np.concatenate((first, [len(slots)]))))
        panes = group_hops // self.hop % self.panes.panes
        going_on = self.columns["start"][group_slots] == group_hops
        run = Run(samples.at_ms, samples.values, group, first)
        figures = self.panes.fold(run, self.panes.held(self.columns, group_slots, panes, going_on))
        slot_begins = segments(group_slots)
        rank = np.arange(len(first)) - np.repeat(slot_begins[:-1], np.diff(slot_begins))
        for turn in range(int(rank.max()) + 1):
            chosen = np.flatnonzero(rank == turn)
            self._advance(group_slots[chosen], group_hops[chosen], out)
            if turn == 0:
                self._begin(run, group_slots, chosen)
            self.panes.store(
                self.columns, group_slots[chosen], panes[chosen], {name: f[chosen] for name, f in figures.items()}
            )
        self.columns.touch(group_slots)
        ends = slot_begins[1:] - 1
        self.columns["judged"][group_slots[ends]] = group_hops[ends]

    def _advance(self, slots: Ints, hops: Ints, out: list[Signal]) -> None:
        """Move each slot's open hop up to `hops`, closing the windows that end on the way."""
        start = self.columns["start"]
        fresh = start[slots] == UNOPENED
        start[slots[fresh]] = hops[fresh]
        behind = np.flatnonzero(start[slots] < hops)
        while len(behind):
            chosen = slots[behind]
            self._close(chosen, out)
            empty = ~self.columns[COUNT][chosen].any(axis=1)
            start[chosen[empty]] = hops[behind[empty]]
            behind = behind[start[chosen] < hops[behind]]

    def _begin(self, run: Run, slots: Ints, first: Ints) -> None:
        """Note the earliest sample of each slot, in whatever order those of its first hop come; `first` is each slot's
        first group."""
        began = self.columns["began"]
        chosen = first[(began[slots[first]] == UNOPENED) | (began[slots[first]] >= self.columns["start"][slots[first]])]
        if len(chosen):
            at, earliest = slots[chosen], np.minimum.reduceat(run.at_ms, run.first)[chosen]
            began[at] = np.where(began[at] == UNOPENED, earliest, np.minimum(began[at], earliest))

    def _close(self, slots: Ints, out: list[Signal]) -> None:
        """Judge the window that ends with each slot's open hop, then open the next hop."""
        columns = self.columns
        counts = columns[COUNT][slots].sum(axis=1)
        judged = np.sort(slots[counts > 0])
        if len(judged):
            self._judge_windows(judged, out)
        ends = columns["start"][slots] + self.hop
        columns["start"][slots] = ends
        self.panes.clear(columns, slots, ends // self.hop % self.panes.panes)

    def _judge_windows(self, slots: Ints, out: list[Signal]) -> None:
        ends = self.columns["start"][slots] + self.hop
        counts = self.columns[COUNT][slots].sum(axis=1)
        span = Span(ends - self.size, ends, counts)
        width = self.panes.panes
        panes = (ends[:, None] // self.hop + np.arange(width)) % width
        values = self.panes.answers(self.columns, slots, panes, span, self.aggregates)
        evidence = self._evidence(ends, counts)
        points = {name: Points.one_each(slots, ends, value, evidence) for name, value in values.items()}
        if any(source.full for source in self.sources.values()):
            whole = np.flatnonzero(self.columns["began"][slots] <= ends - self.size)
            points |= {f"{name}/full": found.take(whole) for name, found in points.items()}
        self.judge_all(points, out)

    def _evidence(self, ends: Ints, counts: Ints) -> Callable[[int], Evidence]:
        def evidence(index: int) -> Evidence:
            end = int(ends[index])
            return Evidence(metric=self.spec.metric, window=(end - self.size, end), samples=int(counts[index]))

        return evidence

    def quiet(self, now_ms: Ints, until_ms: int, quiet_ms: int, out: list[Signal]) -> None:
        """Close windows that ended a while ago, of series from which nothing came since."""
        slots = self.occupied()
        while len(slots):
            start = self.columns["start"][slots]
            due_ms = start + self.hop + quiet_ms + self.spec.lateness_ms
            over = (start != UNOPENED) & (now_ms[self.columns["series"][slots]] >= due_ms)
            slots = slots[over & (start + self.hop <= until_ms)]
            slots = self._close_filled(slots, out)
        super().quiet(now_ms, until_ms, quiet_ms, out)

    def _close_filled(self, slots: Ints, out: list[Signal]) -> Ints:
        """Close a window of those slots that hold something; returns these."""
        slots = slots[self.columns[COUNT][slots].any(axis=1)]
        if len(slots):
            self._close(slots, out)
            self.columns.touch(slots)
        return slots

    def ended_ms(self, slots: Ints) -> Ints:
        """See Lane."""
        return np.asarray(self.columns["judged"][slots] + self.size)

    def finish(self, slots: Ints, out: list[Signal]) -> None:
        """See Lane."""
        while len(slots):
            slots = self._close_filled(slots, out)
