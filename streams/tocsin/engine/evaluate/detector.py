"""What a detector is: from the values of many series to how strange each is, given the past of its own series."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.frame import Floats, Ints

Array = NDArray[Any]
FIRST_STEP_S: Final = 300.0  # what lies between samples, as long as there was only one
_CADENCE_GAIN: Final = 0.1
_LONGEST_STEPS: Final = 3.0  # after a gap a sample stands for no more than so many
_TINY: Final = np.finfo(np.float64).tiny
LARGEST: Final = 1e30  # in units of the series; its square is still a number


@dataclass(frozen=True, slots=True)
class Finding:
    """How strange samples are, one entry each: `score` is 0 for nothing strange or while warming up.

    `expected` with `lower` and `upper` is where an ordinary sample would lie, in the unit of the series. `votes` has,
    by name, what each part of the detector adds to the score.
    """

    score: Floats
    expected: Floats
    lower: Floats
    upper: Floats
    votes: dict[str, Floats] = field(default_factory=dict)


class Detector(ABC):
    """State by slot, in columns of its own, so that it is saved as windows are.

    What a sample is told depends on the samples of its own series before it and on nothing else: not on the other
    series of a call, not on where the input is cut, not on any clock. Memories are lengths of time.
    """

    columns: Columns
    told: ClassVar[frozenset[str]] = frozenset()  # columns of what was told, which go on where nothing is to be learnt

    @abstractmethod
    def look(self, slots: Ints, at_s: Floats, values: Floats, local_s: Floats | None = None) -> Finding:
        """Judge one sample of each of these slots, then learn it. Values are finite, times of a slot do not fall;
        `local_s` is the time on the wall where the series lives, for hours and days."""


CLOCK: Final[Spec] = {
    "seen": ("i8", 0, 0),
    "last_s": ("f8", 0, 0.0),
    "cadence_s": ("f8", 0, 0.0),
    "unit": ("f8", 0, 0.0),
}


@dataclass(frozen=True, slots=True)
class Moment:
    """Samples of distinct slots, made comparable: `x` is in units of the series, `age` counts from 1.

    `step_s` is the time that a sample stands for, `cadence_s` that which usually lies between two.
    """

    slots: Ints
    at_s: Floats
    x: Floats
    unit: Floats
    age: Ints
    step_s: Floats
    cadence_s: Floats

    def gain(self, memory_s: float) -> Floats:
        """The share of a new sample in a mean over a memory; a plain mean until the memory is full."""
        return np.maximum(np.minimum(self.step_s / memory_s, 1.0), 1.0 / self.age)


def arrive(columns: Columns, slots: Ints, at_s: Floats, values: Floats) -> Moment:
    """Note that samples came; the first value that is not zero is the unit of a series from then on."""
    age = columns["seen"][slots] + 1
    unit = columns["unit"][slots]
    unit = np.where(unit == 0, np.abs(values), unit)
    divisor = np.where(unit < _TINY, 1.0, unit)
    with np.errstate(over="ignore"):
        x = (values / divisor).clip(-LARGEST, LARGEST)
    step_s = np.where(age == 1, FIRST_STEP_S, np.maximum(at_s - columns["last_s"][slots], 0.001))
    cadence_s = columns["cadence_s"][slots]
    half_s = cadence_s / 2
    drawn = cadence_s + _CADENCE_GAIN * np.minimum(np.maximum(step_s - cadence_s, -half_s), half_s)
    cadence_s = np.where(age <= 2, step_s, drawn)
    columns["seen"][slots], columns["unit"][slots] = age, unit
    columns["last_s"][slots], columns["cadence_s"][slots] = at_s, cadence_s
    columns.touch(slots)
    return Moment(slots, at_s, x, divisor, age, np.minimum(step_s, _LONGEST_STEPS * cadence_s), cadence_s)


def taken(columns: Columns, name: str, slots: Ints, shape: tuple[int, ...]) -> Array:
    """The rows of a column as contiguous arrays over series: `shape` x slots."""
    return np.ascontiguousarray(columns[name].take(slots, axis=0).T).reshape(*shape, len(slots))


def put(columns: Columns, name: str, slots: Ints, values: Array) -> None:
    """The inverse of `taken`."""
    columns[name][slots] = values.reshape(-1, len(slots)).T


def rounds(slots: Ints) -> Iterator[Ints]:
    """Indexes of samples, in order, so that each round holds at most one of each slot."""
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    begins = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    turn = np.empty(len(slots), np.int64)
    turn[order] = np.arange(len(slots)) - np.repeat(begins, np.diff(np.append(begins, len(slots))))
    for number in range(int(turn.max(initial=-1)) + 1):
        yield np.flatnonzero(turn == number)
