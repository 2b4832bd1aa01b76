"""Panes of groups, each in a row: for groups the panes that are open at one time are few, and any of many."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.statistic import Mergeable, Run
from tocsin.engine.evaluate.statistics import mergeables_of
from tocsin.engine.frame import Ints

Held = dict[str, NDArray[Any]]
NO_ROW: Final = -1


class PaneRows:
    """Figures by (group, start of the pane), of statistics that are the same in whatever order samples and shares come.

    `complete_ms` is, by statistic, the start of the first pane that it saw wholly: one that is asked for later than
    others begins with the panes that are new then.
    """

    def __init__(self, aggregations: Iterable[str], hop_ms: int) -> None:
        self.statistics: dict[str, Mergeable] = mergeables_of(aggregations)
        self.hop = hop_ms
        self.complete_ms: dict[str, int] = {}
        figures: Spec = {}
        for statistic in self.statistics.values():
            figures |= statistic.figures
        self.names = list(figures)
        self._columns = Columns(figures)
        self._rows: dict[int, Ints] = {}  # start -> by group its row
        self._free: list[int] = []

    def asked_for(self, aggregations: Iterable[str]) -> "PaneRows":
        """The same panes for other aggregations."""
        found = PaneRows(aggregations, self.hop)
        if set(found.statistics) == set(self.statistics):
            return self
        found.unpack(self.pack())
        for name in set(found.statistics) - set(self.statistics):
            found.note_incomplete(name, max(self._rows, default=-self.hop))
        return found

    def note_incomplete(self, statistic: str, start: int) -> None:
        """A statistic has not seen all of a pane."""
        self.complete_ms[statistic] = max(self.complete_ms.get(statistic, 0), start + self.hop)

    def is_complete(self, statistic: str, start: int) -> bool:
        """Whether a statistic has seen all of the panes from `start` on."""
        return start >= self.complete_ms.get(statistic, 0)

    def starts(self) -> list[int]:
        """The panes that are open, from old to new."""
        return sorted(self._rows)

    def groups_at(self, start: int) -> Ints:
        """The groups that have a share in a pane, rising."""
        rows = self._rows.get(start)
        return np.flatnonzero(rows != NO_ROW) if rows is not None else np.empty(0, np.int64)

    def rows_at(self, start: int, groups: Ints) -> Ints:
        """The row of each group in a pane, NO_ROW where it has none."""
        rows = self._rows.get(start)
        if rows is None:
            return np.full(len(groups), NO_ROW, np.int64)
        return np.where(groups < len(rows), rows[np.minimum(groups, len(rows) - 1)], NO_ROW)

    def place(self, groups: Ints, starts: Ints) -> Ints:
        """The row of each pane, made when it is new. No pane may be given twice."""
        found = np.empty(len(groups), np.int64)
        for start in np.unique(starts).tolist():
            chosen = np.flatnonzero(starts == start)
            found[chosen] = self._place_at(start, groups[chosen])
        return found

    def _place_at(self, start: int, groups: Ints) -> Ints:
        rows = self._rows.get(start, np.empty(0, np.int64))
        most = int(groups.max()) + 1
        if most > len(rows):
            more = max(most, 2 * len(rows)) - len(rows)
            rows = np.concatenate((rows, np.full(more, NO_ROW, np.int64)))
        self._rows[start] = rows
        new = groups[rows[groups] == NO_ROW]
        if len(new):
            rows[new] = self._take_rows(len(new))
        return rows[groups]

    def _take_rows(self, count: int) -> Ints:
        used = min(count, len(self._free))
        again = [self._free.pop() for _ in range(used)]
        if count > used:
            first = self._columns.add(count - used)
            again += range(first, first + count - used)
        return np.array(again, np.int64)

    def fold(self, rows: Ints, run: Run) -> None:
        """Samples of panes: group i of the run belongs to row i."""
        for statistic in self.statistics.values():
            self._put(rows, statistic.fold(run, self._figures(rows, statistic)))

    def merge(self, rows: Ints, statistic: str, figures: Held) -> None:
        """Shares of others in panes, of one statistic."""
        own = self.statistics[statistic]
        self._put(rows, own.merge(self._figures(rows, own), figures))

    def _figures(self, rows: Ints, statistic: Mergeable) -> Held:
        return {name: self._columns[name][rows] for name in statistic.figures}

    def _put(self, rows: Ints, figures: Held) -> None:
        for name, values in figures.items():
            self._columns[name][rows] = values

    def figures(self, rows: Ints, names: Iterable[str]) -> Held:
        """Some figures of rows; NO_ROW stands for a pane that holds nothing."""
        found = {}
        empty = rows < 0
        some_empty = bool(empty.any())
        for name in names:
            values = self._columns[name][rows]
            if some_empty:
                values[empty] = self._columns.spec[name][2]
            found[name] = values
        return found

    def drop(self, start: int) -> None:
        """A pane is over."""
        rows = self._rows.pop(start, np.empty(0, np.int64))
        self._free_rows(rows[rows != NO_ROW])

    def forget_group(self, group: int) -> None:
        """A group is gone."""
        for start, rows in list(self._rows.items()):
            if group >= len(rows) or rows[group] == NO_ROW:
                continue
            self._free_rows(rows[group : group + 1].copy())
            rows[group] = NO_ROW
            if (rows == NO_ROW).all():
                del self._rows[start]

    def _free_rows(self, rows: Ints) -> None:
        for name in self.names:
            self._columns[name][rows] = self._columns.spec[name][2]
        self._free += rows.tolist()

    def pack(self) -> dict[str, Any]:
        """Every open pane, as plain values, in an order that does not depend on how it came."""
        starts = self.starts()
        groups = [self.groups_at(start) for start in starts]
        rows = [self.rows_at(start, some) for start, some in zip(starts, groups, strict=True)]
        every = np.concatenate([np.empty(0, np.int64), *rows])
        return {
            "starts": np.repeat(np.array(starts, np.int64), [len(some) for some in groups]).tobytes(),
            "groups": np.concatenate([np.empty(0, np.int64), *groups]).tobytes(),
            "figures": {name: self._columns[name][every].tobytes() for name in self.names},
            "complete_ms": self.complete_ms,
        }

    def unpack(self, packed: dict[str, Any]) -> None:
        """The inverse of `pack`, into an empty table; figures that are not in it keep their initial values."""
        self.complete_ms = {name: at for name, at in packed["complete_ms"].items() if name in self.statistics}
        starts, groups = (np.frombuffer(packed[name], np.int64) for name in ("starts", "groups"))
        if not len(starts):
            return
        rows = self.place(groups, starts)
        for name in self.names:
            if name in packed["figures"]:
                kind, width, _ = self._columns.spec[name]
                values = np.frombuffer(packed["figures"][name], kind)
                self._columns[name][rows] = values.reshape(-1, width) if width else values
