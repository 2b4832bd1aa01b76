"""Shares of groups from all samples partitions, put together pane by pane until no window needs them any more."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.pane_rows import PaneRows
from tocsin.engine.evaluate.statistics import mergeable_of
from tocsin.engine.frame import Ints
from tocsin.engine.partial import Panes


class Shares:
    """The open panes of one part of a lane, by slot."""

    def __init__(self, aggregations: Iterable[str], hop_ms: int) -> None:
        self.hop = hop_ms
        self.rows = PaneRows(aggregations, hop_ms)

    def add(self, slots: Ints, panes: Panes) -> None:
        """Shares of the groups of `panes`, whose slots are given."""
        starts = np.frombuffer(panes.starts, np.int64)
        rows = self.rows.place(slots[np.frombuffer(panes.groups, np.uint32)], starts)
        for name, statistic in self.rows.statistics.items():
            if all(figure in panes.figures for figure in statistic.figures):
                figures = {figure: panes.figure(figure, len(starts)) for figure in statistic.figures}
                self.rows.merge(rows, name, figures)
            else:
                self.rows.note_incomplete(name, int(starts.max()))

    def is_complete(self, aggregation: str, begin: int) -> bool:
        """Whether all partitions had been asked for an aggregation when the pane at `begin` began."""
        return self.rows.is_complete(mergeable_of(aggregation).name, begin)

    def slots_in(self, begin: int, end: int) -> Ints:
        """Groups with a share in [begin, end), rising."""
        found = [slots for start in range(begin, end, self.hop) if len(slots := self.rows.groups_at(start))]
        has_share = np.zeros(max((int(slots[-1]) + 1 for slots in found), default=0), bool)
        for slots in found:
            has_share[slots] = True
        return np.flatnonzero(has_share)

    def figures(self, aggregation: str, slots: Ints, begin: int, end: int) -> dict[str, NDArray[Any]]:
        """What an aggregation is answered from: slots x panes in [begin, end)."""
        return self.rows.figures(self._rows(slots, begin, end), mergeable_of(aggregation).figures)

    def counts(self, slots: Ints, begin: int, end: int) -> Ints:
        """How many samples each slot has in [begin, end)."""
        counts = self.figures("count", slots, begin, end)
        return np.asarray(counts["count"].sum(axis=1))

    def _rows(self, slots: Ints, begin: int, end: int) -> Ints:
        return np.stack([self.rows.rows_at(start, slots) for start in range(begin, end, self.hop)], axis=1)

    def expire(self, begin: int) -> None:
        """No window needs panes that start before."""
        for start in self.rows.starts():
            if start >= begin:
                break
            self.rows.drop(start)

    def ends(self, closed_ms: int, until_ms: int, size_ms: int) -> Iterator[int]:
        """Ends of windows in (closed, until] that hold a pane, however far apart panes lie."""
        starts = self.rows.starts()
        end = closed_ms // self.hop * self.hop + self.hop
        while end <= until_ms:
            at = bisect_left(starts, end - size_ms)
            if at == len(starts):
                return
            if starts[at] >= end:
                end = starts[at] + self.hop
                continue
            yield end
            end += self.hop
