"""Numbers of things that are named by sixteen bytes, looked up many at a time.

A dictionary is asked for one name after the other, and of a hundred thousand names hardly one lies in the processor's
cache: 0.6 µs each. Here the look-ups of a run wait for memory together: 0.08 µs each.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.frame import Ints

ABSENT: Final = -2
_REMOVED: Final = -3
_FEWEST: Final = 64  # rows
_ROOM: Final = 4  # rows for each name: with fewer, many names are not where they are looked for first
_ALIKE_BITS: Final = 20  # the lowest bits of a series' name choose its partition, so they are alike in all of one

Names = NDArray[np.int64]  # n x 2


def names_of(identities: bytes) -> Names:
    """Names as they lie side by side, sixteen bytes each."""
    return np.frombuffer(identities, np.int64).reshape(-1, 2)


class Numbering:
    """A hash table with linear probing; names must be spread evenly. Numbers are small, and at least -1."""

    def __init__(self) -> None:
        self._lay_out(_FEWEST)

    def _lay_out(self, rows: int) -> None:
        self._mask = rows - 1
        self._first, self._second = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        self._numbers = np.full(rows, ABSENT, np.int32)
        self._used = 0  # rows, those of removed names too

    def _home(self, names: Names) -> Ints:
        return np.asarray(names[:, 0] >> _ALIKE_BITS & self._mask)

    def find(self, names: Names) -> Ints:
        """The number of each name, ABSENT where there is none."""
        first, second = names[:, 0], names[:, 1]
        at = self._home(names)
        found = self._numbers[at].astype(np.int64)
        left = np.flatnonzero(((self._first[at] != first) | (self._second[at] != second)) & (found != ABSENT))
        at = at[left]
        while len(left):
            at = at + 1 & self._mask
            numbers = found[left] = self._numbers[at]
            is_other = (self._first[at] != first[left]) | (self._second[at] != second[left])
            more = is_other & (numbers != ABSENT)
            left, at = left[more], at[more]
        found[found == _REMOVED] = ABSENT
        return found

    def put(self, names: Names, numbers: Ints) -> None:
        """Add names that are absent, each of them once."""
        if (self._used + len(names)) * 2 > len(self._numbers):
            self._make_room(len(names))
        at, left = self._home(names), np.arange(len(names))
        self._used += len(names)
        while len(left):
            free = np.flatnonzero(self._numbers[at] <= ABSENT)
            rows, one_each = np.unique(at[free], return_index=True)
            chosen = free[one_each]
            placed = left[chosen]
            self._first[rows], self._second[rows] = names[placed, 0], names[placed, 1]
            self._numbers[rows] = numbers[placed]
            left, at = np.delete(left, chosen), np.delete(at, chosen) + 1 & self._mask

    def remove(self, names: Names) -> None:
        """Forget names that are there, each of them given once."""
        first, second = names[:, 0], names[:, 1]
        at, left = self._home(names), np.arange(len(names))
        while len(left):
            here = (self._first[at] == first[left]) & (self._second[at] == second[left]) & (self._numbers[at] > ABSENT)
            self._numbers[at[here]] = _REMOVED
            left, at = left[~here], at[~here] + 1 & self._mask

    def drop(self, number: int) -> None:
        """Forget every name that has this number."""
        self._numbers[self._numbers == number] = _REMOVED
        self._make_room(0)

    def _make_room(self, more: int) -> None:
        kept = np.flatnonzero(self._numbers > ABSENT)
        names = np.stack((self._first[kept], self._second[kept]), axis=1)
        numbers = self._numbers[kept].astype(np.int64)
        rows = _FEWEST
        while rows < _ROOM * (len(kept) + more):
            rows *= 2
        self._lay_out(rows)
        self.put(names, numbers)
