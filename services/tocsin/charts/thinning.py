"""Fewer points for the same picture: of each column of pixels the first, the last, the lowest and the highest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def kept(at_ms: Ints, values: Floats, begin_ms: int, end_ms: int, columns: int) -> Ints:
    """Which of some points: at most four for each of `columns` parts of the time from begin to end; `at_ms` must not
    fall."""
    if len(at_ms) <= 4 * columns:
        return np.arange(len(at_ms))
    width = max(end_ms - begin_ms, 1)
    column = np.clip((at_ms - begin_ms) * columns // width, 0, columns - 1)
    begins = np.concatenate(([0], np.flatnonzero(np.diff(column)) + 1))
    ends = np.concatenate((begins[1:], [len(at_ms)])) - 1
    order = np.lexsort((values, column))  # within a column by value: its ends are the lowest and the highest
    return np.unique(np.concatenate((begins, ends, order[begins], order[ends])))


def thinned(at_ms: Ints, values: Floats, begin_ms: int, end_ms: int, columns: int) -> tuple[Ints, Floats]:
    """The points that are kept."""
    chosen = kept(at_ms, values, begin_ms, end_ms, columns)
    return at_ms[chosen], values[chosen]
