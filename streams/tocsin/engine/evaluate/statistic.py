"""What a statistic is: figures kept of the samples of a pane, from which windows over panes answer aggregations.

Every statistic goes on strictly from sample to sample, so that its figures do not depend on where the input is cut.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.frame import Floats, Ints

Figures = Mapping[str, NDArray[Any]]
COUNT: Final = "count"
EARLIEST_MS: Final = "earliest_ms"
LATEST_MS: Final = "latest_ms"


@dataclass(frozen=True, slots=True)
class Run:
    """Samples in groups, each in the order in which they came: `group` is each sample's group, `first` where each group
    begins."""

    at_ms: Ints
    values: Floats
    group: Ints
    first: Ints
    before: Floats | None = None  # each sample's predecessor in its series, NaN for the first; only for groups

    @property
    def ends(self) -> Ints:
        """The index of each group's last sample."""
        return np.concatenate((self.first[1:], [len(self.values)])) - 1

    def by_time(self) -> "Run":
        """The same groups in order of time; samples of one time stay in the order in which they came."""
        same_group = self.group[1:] == self.group[:-1]
        if not (same_group & (self.at_ms[1:] < self.at_ms[:-1])).any():
            return self
        order = np.lexsort((self.at_ms, self.group))
        return Run(self.at_ms[order], self.values[order], self.group, self.first)

    def running_sum(self, held: Floats, values: Floats) -> Floats:
        """Each group's held figure plus its values, added one by one in order."""
        groups = np.arange(len(held))
        weights = np.concatenate((held, values))
        summed = np.bincount(np.concatenate((groups, self.group)), weights=weights, minlength=len(held))
        return summed.astype(np.float64, copy=False)


@dataclass(frozen=True, slots=True)
class Span:
    """Windows to answer for: their event times [begin, end) and how many samples they hold."""

    begin_ms: Ints
    end_ms: Ints
    counts: Ints


class Statistic(ABC):
    """Figures of panes. A figure of a pane that holds no sample has its initial value."""

    name: str
    figures: Spec  # name -> (dtype, width; 0 is one value a pane, initial value)

    @abstractmethod
    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """The figures of each group's pane after its samples; `held` are those before."""

    @abstractmethod
    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """An aggregation over panes: figures of windows x panes, the oldest pane first."""


class Mergeable(Statistic):
    """A statistic of samples that need not come in order: what groups of series are made of.

    Where `needs_order`, samples of one series must come in order all the same, those of several need not.
    """

    needs_order = False

    @abstractmethod
    def merge(self, one: Figures, other: Figures) -> dict[str, NDArray[Any]]:
        """The figures of the union of two sets of samples, whatever their order."""
