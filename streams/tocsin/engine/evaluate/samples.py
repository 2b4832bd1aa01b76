"""Columns of samples on their way through evaluate, and the buffer in which some wait for their watermark."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.frame import Floats, Ints

_COLUMNS = ("series", "at_ms", "values", "source", "offsets")


@dataclass(frozen=True, slots=True)
class Samples:
    """n samples: series index, event time, value, source partition's index, source offset."""

    series: Ints
    at_ms: Ints
    values: Floats
    source: Ints
    offsets: Ints

    def __len__(self) -> int:
        return len(self.series)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """The chosen rows."""
        return type(self)(*(getattr(self, column)[index] for column in _COLUMNS))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """All rows of several, in order."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(part, column) for part in parts]) for column in _COLUMNS))

    @classmethod
    def none(cls) -> Self:
        """No rows."""
        empty = np.empty(0, np.int64)
        return cls(empty, empty, np.empty(0, np.float64), empty, empty)

    def pack(self) -> dict[str, bytes]:
        """Plain values for a checkpoint."""
        return {column: getattr(self, column).tobytes() for column in _COLUMNS}

    @classmethod
    def unpack(cls, packed: dict[str, bytes]) -> Self:
        """The inverse of `pack`."""
        kinds = (np.int64, np.int64, np.float64, np.int64, np.int64)
        columns: list[Any] = [np.frombuffer(packed[c], kind).copy() for c, kind in zip(_COLUMNS, kinds, strict=True)]
        return cls(*columns)


def release(
    waiting: Samples, fresh: Samples, due_ms: Ints, rising_ms: Ints, step_of_fresh: Ints
) -> tuple[Samples, Samples]:
    """Split waiting and fresh samples into those whose watermark has come, in order, and those that go on waiting.

    `due_ms` is, for waiting then fresh, the watermark each needs; `rising_ms` the watermark after each input step,
    never falling; `step_of_fresh` the step at which each fresh sample arrived. The order is that of release, then
    event time, then arrival: the same wherever the input is cut.
    """
    pool = Samples.join([waiting, fresh]) if len(waiting) else fresh
    arrived = np.concatenate((np.zeros(len(waiting), np.int64), step_of_fresh)) if len(waiting) else step_of_fresh
    step = np.maximum(np.searchsorted(rising_ms, due_ms, side="left"), arrived)
    ready = step < len(rising_ms)
    chosen = ready.nonzero()[0]
    order = np.lexsort((pool.at_ms[chosen], step[chosen]))
    return pool.take(chosen[order]), pool.take(~ready)
