"""Session windows: as long as samples come without a gap. A session is judged when the gap has passed."""

from collections.abc import Callable

import numpy as np

from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.instants import in_order
from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.evaluate.panes import PaneTable
from tocsin.engine.evaluate.plan import Judged, LaneSpec
from tocsin.engine.evaluate.points import Points, segments
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.evaluate.statistic import COUNT, Run, Span
from tocsin.engine.evaluate.statistics import statistics_of
from tocsin.engine.frame import Ints
from tocsin.schemas.signal import Evidence, Signal


class SessionLane(Lane):
    """One pane a slot: the session that goes on, from `opened` to `touched`; -1 where there is none."""

    def __init__(self, spec: LaneSpec, judged: Judged, series: SeriesTable) -> None:
        assert spec.window is not None
        self.gap = spec.window.length_ms
        self.panes = PaneTable(statistics_of(source.aggregate for source, _ in judged.values()), 1)
        own: Spec = {"opened": ("i8", 0, -1), "touched": ("i8", 0, -1)}
        figures = self.panes.spec()
        assert not own.keys() & figures.keys()
        super().__init__(spec, judged, series, own | figures)

    def adopt(self, judged: Judged) -> None:
        """See Lane; what was not kept from the beginning of an open session is answered from the next one on."""
        super().adopt(judged)
        slots = self.occupied()
        since_ms = self.columns["touched"][slots] + 1
        self.panes = self.panes.with_aggregates(self.aggregates, self.columns, slots, since_ms)

    def take(self, samples: Samples, out: list[Signal]) -> None:
        """See Lane."""
        slots, samples = in_order(self, samples)
        if not len(slots):
            return
        begins = segments(slots)
        before = np.concatenate(([0], samples.at_ms[:-1]))
        before[begins[:-1]] = self.columns["touched"][slots[begins[:-1]]]
        is_new = (before >= 0) & (samples.at_ms - before > self.gap)
        is_new[begins[:-1]] |= before[begins[:-1]] < 0
        change = is_new.copy()
        change[begins[:-1]] = True
        first = np.flatnonzero(change)
        group = np.cumsum(change) - 1
        owners = slots[first]
        nothing = np.zeros(len(first), np.int64)
        run = Run(samples.at_ms, samples.values, group, first)
        figures = self.panes.fold(run, self.panes.held(self.columns, owners, nothing, ~is_new[first]))
        slot_begins = segments(owners)
        rank = np.arange(len(first)) - np.repeat(slot_begins[:-1], np.diff(slot_begins))
        for turn in range(int(rank.max()) + 1):
            chosen = np.flatnonzero(rank == turn)
            at = owners[chosen]
            over = is_new[first[chosen]] & (self.columns["opened"][at] >= 0)
            self._close(at[over], out)
            fresh = is_new[first[chosen]]
            self.columns["opened"][at[fresh]] = samples.at_ms[first[chosen]][fresh]
            self.columns["touched"][at] = samples.at_ms[run.ends[chosen]]
            self.panes.store(self.columns, at, nothing[chosen], {name: f[chosen] for name, f in figures.items()})

    def _close(self, slots: Ints, out: list[Signal]) -> None:
        """Judge sessions that are over, as of the moment at which their gap had passed."""
        if not len(slots):
            return
        slots = np.sort(slots)
        begin, last = self.columns["opened"][slots], self.columns["touched"][slots]
        counts = self.columns[COUNT][slots].sum(axis=1)
        span = Span(begin, last, counts)
        panes = np.zeros((len(slots), 1), np.int64)
        values = self.panes.answers(self.columns, slots, panes, span, self.aggregates)
        evidence = self._evidence(begin, last, counts)
        points = {name: Points.one_each(slots, last + self.gap, value, evidence) for name, value in values.items()}
        self.judge_all(points | {f"{name}/full": found for name, found in points.items()}, out)
        self.columns["opened"][slots] = self.columns["touched"][slots] = -1
        self.panes.clear(self.columns, slots, panes[:, 0])
        self.columns.touch(slots)

    def _evidence(self, begin: Ints, last: Ints, counts: Ints) -> Callable[[int], Evidence]:
        metric = self.spec.metric
        return lambda index: Evidence(
            metric=metric, window=(int(begin[index]), int(last[index]) + 1), samples=int(counts[index])
        )

    def ended_ms(self, slots: Ints) -> Ints:
        """See Lane."""
        return np.asarray(self.columns["judged"][slots] + self.gap + 1)

    def finish(self, slots: Ints, out: list[Signal]) -> None:
        """See Lane."""
        self._close(slots[self.columns["opened"][slots] >= 0], out)

    def quiet(self, now_ms: Ints, until_ms: int, quiet_ms: int, out: list[Signal]) -> None:
        """Sessions of series from which nothing came for longer than the gap are over."""
        slots = self.occupied()
        over_ms = self.columns["touched"][slots] + self.gap
        over = now_ms[self.columns["series"][slots]] > over_ms + quiet_ms + self.spec.lateness_ms
        self._close(slots[(self.columns["opened"][slots] >= 0) & over & (over_ms < until_ms)], out)
        super().quiet(now_ms, until_ms, quiet_ms, out)
