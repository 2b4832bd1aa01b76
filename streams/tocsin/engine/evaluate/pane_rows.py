"""Panes of groups, each in a row: for groups the panes that are open at one time are few, and any of many."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.statistic import Mergeable, Run
from tocsin.engine.frame import Ints

Held = dict[str, NDArray[Any]]
_UNUSED: Final = -1


class PaneRows:
    """Figures by (group, start of the pane). Merging is exact in any order, so these rows know none."""

    def __init__(self, statistics: dict[str, Mergeable]) -> None:
        self.statistics = statistics
        figures: Spec = {}
        for statistic in statistics.values():
            figures |= statistic.figures
        self.names = list(figures)
        self._columns = Columns({"start": ("i8", 0, _UNUSED), "group": ("i8", 0, _UNUSED), **figures})
        self._rows: dict[int, dict[int, int]] = {}  # start -> group -> row
        self._free: list[int] = []

    def starts(self) -> list[int]:
        """The panes that are open, from old to new."""
        return sorted(self._rows)

    def groups_at(self, start: int) -> dict[int, int]:
        """The groups that have a share in a pane, with their rows."""
        return self._rows.get(start, {})

    def place(self, groups: Ints, starts: Ints) -> Ints:
        """The row of each pane, made when it is new."""
        found = np.empty(len(groups), np.int64)
        for index, (group, start) in enumerate(zip(groups.tolist(), starts.tolist(), strict=True)):
            at_start = self._rows.setdefault(start, {})
            row = at_start.get(group)
            if row is None:
                row = at_start[group] = self._free.pop() if self._free else self._columns.add()
                self._columns["start"][row], self._columns["group"][row] = start, group
            found[index] = row
        return found

    def fold(self, rows: Ints, run: Run) -> None:
        """Samples of panes: group i of the run belongs to row i."""
        for statistic in self.statistics.values():
            self._put(rows, statistic.fold(run, self._figures(rows, statistic)))

    def merge(self, rows: Ints, figures: Held) -> None:
        """Shares of others in panes."""
        for statistic in self.statistics.values():
            self._put(rows, statistic.merge(self._figures(rows, statistic), figures))

    def _figures(self, rows: Ints, statistic: Mergeable) -> Held:
        return {name: self._columns[name][rows] for name in statistic.figures}

    def _put(self, rows: Ints, figures: Held) -> None:
        for name, values in figures.items():
            self._columns[name][rows] = values

    def figures(self, rows: Ints) -> Held:
        """The figures of some rows; -1 stands for a pane that holds nothing."""
        found = {}
        for name in self.names:
            values = self._columns[name][rows]
            values[rows < 0] = self._columns.spec[name][2]
            found[name] = values
        return found

    def drop(self, start: int) -> None:
        """A pane is over."""
        for row in self._rows.pop(start, {}).values():
            self._columns.renew(row)
            self._free.append(row)

    def forget_group(self, group: int) -> None:
        """A group is gone."""
        for start in list(self._rows):
            row = self._rows[start].pop(group, None)
            if row is not None:
                self._columns.renew(row)
                self._free.append(row)

    def pack(self) -> dict[str, Any]:
        """Every open pane, as plain values, in an order that does not depend on how it came."""
        places = list(self._places())
        rows = np.array([row for _, _, row in places], np.int64)
        figures = {name: self._columns[name][rows].tobytes() for name in self.names}
        return {"places": [(start, group) for start, group, _ in places], "figures": figures}

    def _places(self) -> Iterator[tuple[int, int, int]]:
        for start in self.starts():
            for group in sorted(self._rows[start]):
                yield start, group, self._rows[start][group]

    def unpack(self, packed: dict[str, Any]) -> None:
        """The inverse of `pack`, into an empty table; figures that are not in it keep their initial values."""
        if not packed["places"]:
            return
        starts, groups = (np.array(column, np.int64) for column in zip(*packed["places"], strict=True))
        rows = self.place(groups, starts)
        for name in self.names:
            if name in packed["figures"]:
                kind, width, _ = self._columns.spec[name]
                values = np.frombuffer(packed["figures"][name], kind)
                self._columns[name][rows] = values.reshape(-1, width) if width else values
