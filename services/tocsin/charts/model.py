"""What a chart shows. Times are epoch milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A line that a value is held against, in the colour of its severity."""

    value: float
    severity: str


@dataclass(frozen=True, slots=True)
class Band:
    """The values between two ends, which are the good ones unless `bad`."""

    lower: float
    upper: float
    severity: str
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which an alert fired."""

    begin_ms: int
    end_ms: int
    severity: str


@dataclass(frozen=True, slots=True)
class Corridor:
    """The band of ordinary values where it changes with time: n ends each, for the times of the panel."""

    lower: Floats
    upper: Floats

    def ends(self) -> list[float]:
        """Its range but for what is extreme, which would make the rest of a chart flat."""
        if not len(self.lower):
            return []
        return [float(np.percentile(self.lower, 1)), float(np.percentile(self.upper, 99))]


@dataclass(frozen=True, slots=True)
class Panel:
    """One series: n times in order and n values."""

    title: str
    subtitle: str
    at_ms: Ints
    values: Floats
    thresholds: tuple[Threshold, ...] = ()
    bands: tuple[Band, ...] = ()
    spans: tuple[Span, ...] = ()
    unit: str = ""
    corridor: Corridor | None = None
    steps: bool = False  # the values are truths: drawn as steps, from 0 to 1

    def lows_and_highs(self) -> tuple[float, float]:
        """The range of values that must be seen: of the line and what it is held against."""
        lines = [threshold.value for threshold in self.thresholds]
        ends = [end for band in self.bands for end in (band.lower, band.upper)]
        own = [float(self.values.min()), float(self.values.max())] if len(self.values) else [0.0, 1.0]
        found = [*own, *lines, *ends, *(self.corridor.ends() if self.corridor else [])]
        return min(found), max(found)


@dataclass(frozen=True, slots=True)
class Chart:
    """Panels one below the other, with one axis of time from begin to end."""

    title: str
    begin_ms: int
    end_ms: int
    panels: tuple[Panel, ...]
