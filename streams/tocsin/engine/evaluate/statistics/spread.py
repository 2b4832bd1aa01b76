"""The population standard deviation, as Prometheus' `stddev_over_time`.

Sums of differences to a pane's first value: stable where the mean is large against the spread, and the same however
the input is cut. Panes are joined by the pairwise update of Chan, Golub and LeVeque (1979).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.statistic import COUNT, Figures, Run, Span, Statistic
from tocsin.engine.frame import Floats


class Spread(Statistic):
    """Standard deviation."""

    name = "spread"
    figures = {  # noqa: RUF012
        "origin": ("f8", 0, np.nan),
        "off": ("f8", 0, 0.0),
        "off2": ("f8", 0, 0.0),
    }

    def fold(self, run: Run, held: Figures) -> dict[str, NDArray[Any]]:
        """See Statistic."""
        origin = np.where(np.isnan(held["origin"]), run.values[run.first], held["origin"])
        difference = run.values - origin[run.group]
        return {
            "origin": origin,
            "off": run.running_sum(held["off"], difference),
            "off2": run.running_sum(held["off2"], difference * difference),
        }

    def answer(self, aggregation: str, panes: Figures, span: Span) -> Floats:
        """See Statistic."""
        counts = panes[COUNT]
        total = np.zeros(len(counts))
        mean, squares = np.zeros(len(counts)), np.zeros(len(counts))
        for pane in range(counts.shape[1]):
            count = counts[:, pane]
            some = count > 0
            more = np.where(some, count, 1)
            off = panes["off"][:, pane]
            own_mean = np.where(some, panes["origin"][:, pane] + off / more, 0.0)
            own_squares = np.where(some, panes["off2"][:, pane] - off * off / more, 0.0)
            joined = np.maximum(total + count, 1)
            apart = own_mean - mean
            squares = np.where(some, squares + own_squares + apart * apart * total * count / joined, squares)
            mean = np.where(some, mean + apart * count / joined, mean)
            total = total + count
        return np.sqrt(np.maximum(squares, 0.0) / np.maximum(total, 1))
