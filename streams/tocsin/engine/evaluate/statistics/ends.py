"""First and last of groups: of several values at one time the lowest is the first and the highest the last, so that
neither depends on the order in which series come."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.statistic import Figures, Mergeable, Run, Span
from tocsin.engine.frame import Floats


class _End(Mergeable):
    """`figures` are the value and its time; `_extreme` is the function that finds the time, and then the value."""

    _extreme: np.ufunc

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic; samples of a group may come in any order."""
        value, time = self.figures
        at_ms = self._extreme.reduceat(run.at_ms, run.first)
        chosen = np.where(run.at_ms == at_ms[run.group], run.values, -self._extreme(-np.inf, np.inf))
        return self.merge(held, {value: self._extreme.reduceat(chosen, run.first), time: at_ms})

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        value, time = self.figures
        at = (panes[time] == self._extreme.reduce(panes[time], axis=1)[:, None]).argmax(axis=1)
        return np.asarray(panes[value][np.arange(len(at)), at])

    def merge(self, one: Figures, other: Figures) -> dict[str, NDArray[Any]]:
        """See Mergeable."""
        value, time = self.figures
        at_ms = self._extreme(one[time], other[time])
        values = self._extreme(one[value], other[value])
        values = np.where(one[time] == other[time], values, np.where(one[time] == at_ms, one[value], other[value]))
        return {value: values, time: at_ms}


class First(_End):
    """The first value."""

    name = "first_of_group"
    figures = {"first": ("f8", 0, 0.0), "first_ms": ("i8", 0, 2**62)}  # noqa: RUF012 - declared in Statistic
    _extreme = np.minimum


class Last(_End):
    """The last value."""

    name = "last_of_group"
    figures = {"last": ("f8", 0, 0.0), "last_ms": ("i8", 0, -1)}  # noqa: RUF012
    _extreme = np.maximum
