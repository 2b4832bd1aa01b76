"""Values to judge, and what a verdict about them rests on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.signal import Evidence

_LARGEST: Final = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class Course:
    """What was learnt of values, one entry each: the `values` themselves, what was `expected`, and the ends of the band
    of ordinary ones, all in the unit of the series; and the `score`."""

    values: Floats
    expected: Floats
    lower: Floats
    upper: Floats
    score: Floats

    def take(self, chosen: NDArray[np.intp] | slice) -> Self:
        """Some of the entries."""
        return type(self)(*(array[chosen] for array in self.columns()))

    def columns(self) -> tuple[Floats, ...]:
        """The arrays, in order."""
        return self.values, self.expected, self.lower, self.upper, self.score


@dataclass(frozen=True, slots=True)
class Points:
    """Values in order: of slot `slots[i]` those from `begins[i]` to `begins[i + 1]`, which has one entry more. Where a
    rule learns, its judged values have a `course`; of forecasts, `reach` says by index in how many seconds one is at a
    threshold, or None if it is not. Where slots are members of groups, `groups[i]` is the group of slot i; each then
    has one value."""

    slots: Ints
    begins: Ints
    at_ms: Ints
    values: Floats
    evidence: Callable[[int], Evidence]
    course: Course | None = None
    reach: Callable[[int, float], float | None] | None = None
    groups: Ints | None = None

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def one_each(cls, slots: Ints, at_ms: Ints, values: Floats, evidence: Callable[[int], Evidence]) -> Self:
        """One value of each slot."""
        return cls(slots, np.arange(len(slots) + 1), at_ms, values, evidence)

    def owners(self) -> Ints:
        """The slot of each value."""
        return np.repeat(self.slots, np.diff(self.begins))

    def usable(self) -> Self:
        """Without values that are no number; a sum beyond what a number can hold counts as the largest there is."""
        if np.isfinite(self.values).all():
            return self
        clipped = replace(self, values=np.clip(self.values, -_LARGEST, _LARGEST))
        return clipped.take(np.flatnonzero(~np.isnan(self.values)))

    def take(self, chosen: NDArray[np.intp]) -> Self:
        """Some of the values, given by rising index."""
        owners = self.owners()[chosen]
        begins = segments(owners)
        evidence, reach = self.evidence, self.reach
        return type(self)(
            owners[begins[:-1]],
            begins,
            self.at_ms[chosen],
            self.values[chosen],
            lambda index: evidence(int(chosen[index])),
            self.course.take(chosen) if self.course else None,
            (lambda index, threshold: reach(int(chosen[index]), threshold)) if reach else None,
            None if self.groups is None else self.groups[chosen],
        )


def segments(slots: Ints) -> Ints:
    """Where runs of equal slots begin, and the end: n + 1 numbers for n runs."""
    if not len(slots):
        return np.zeros(1, np.int64)
    return np.concatenate(([0], (slots[1:] != slots[:-1]).nonzero()[0] + 1, [len(slots)]))


def running_maximum(values: Ints, begins: Ints, floor: Ints) -> Ints:
    """For each value the maximum of its run's floor and the values before it in its run, as far as a comparison with
    the value tells."""
    lengths = np.diff(begins)
    low, high = int(values.min()) - 1, int(values.max()) + 1
    floor = np.minimum(np.maximum(floor, low), high)  # beyond these it compares alike
    span = high - low + 1
    lift = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths) * span
    if len(lengths) * span < 2**62:
        shifted = np.empty(len(values), np.int64)
        shifted[1:] = values[:-1] - low + lift[1:]
        shifted[begins[:-1]] = floor - low + lift[begins[:-1]]
        before = np.maximum.accumulate(shifted)
        return np.asarray(before - lift + low)
    parts = [
        np.maximum.accumulate(np.concatenate(([at], values[begin : end - 1])))
        for at, begin, end in zip(floor, begins[:-1], begins[1:], strict=True)
    ]
    return np.concatenate(parts)
