"""What a derivation is: from the values of a series to others that are judged instead, such as their change."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.points import Points
from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.signal import Evidence


class Derivation(ABC):
    """State by slot, in columns of its own."""

    columns: Columns

    @abstractmethod
    def __init__(self, settings: Any, hop_ms: int, upwards: bool) -> None:
        """`hop_ms` is how far apart values lie, 0 where that is not known; `upwards` whether high values are bad."""

    @abstractmethod
    def derive(self, points: Points) -> Points:
        """The derived values; a value for which nothing can be said is left out."""

    def inherit(self, other: "Derivation") -> None:
        """Know what another of the same kind knows, which learns in the same way."""
        self.columns.copy(other.columns)

    def known(self, points: Points, from_ms: int | None) -> Points:
        """The values since a time."""
        return points if from_ms is None else points.take(np.flatnonzero(points.at_ms >= from_ms))


class History:
    """Means of the recent past of each slot, by buckets of time, in rings: `step_ms` a bucket, `length` buckets.

    A bucket's mean goes on strictly from value to value, so it does not depend on where the input is cut.
    """

    def __init__(self, columns: Columns, step_ms: int, length: int) -> None:
        self._columns = columns
        self.step_ms, self.length = step_ms, length

    @staticmethod
    def spec(length: int) -> Spec:
        """The columns that a history needs."""
        return {"bucket": ("i8", length, -1), "total": ("f8", length, 0.0), "count": ("i4", length, 0)}

    def rounds(self, points: Points) -> list[Ints]:
        """Indexes of values, so that each round holds one bucket of each slot, in order of time."""
        owners, bucket = points.owners(), points.at_ms // self.step_ms
        change = np.concatenate(([True], (np.diff(owners) != 0) | (np.diff(bucket) != 0)))
        first = np.flatnonzero(change)
        begins = np.searchsorted(first, points.begins)
        rank = np.arange(len(first)) - np.repeat(begins[:-1], np.diff(begins))
        of_value = rank[np.cumsum(change) - 1]
        return [np.flatnonzero(of_value == turn) for turn in range(int(rank.max()) + 1)]

    def add(self, slots: Ints, at_ms: Ints, values: Floats) -> None:
        """Values of one bucket of each slot."""
        bucket = at_ms // self.step_ms
        unique, place = np.unique(slots, return_inverse=True)
        latest = np.full(len(unique), -1, np.int64)
        latest[place] = bucket
        at = unique, latest % self.length
        columns = self._columns
        same = columns["bucket"][at] == latest
        held = np.where(same, columns["total"][at], 0.0)
        counts = np.where(same, columns["count"][at], 0) + np.bincount(place)
        owners = np.concatenate((np.arange(len(unique)), place))
        totals = np.bincount(owners, weights=np.concatenate((held, values)), minlength=len(unique))
        columns["bucket"][at], columns["total"][at], columns["count"][at] = latest, totals, counts
        columns.touch(unique)

    def means(self, slots: Ints, buckets: Ints) -> Floats:
        """The mean of each slot's bucket; NaN where it is not known. Both arguments broadcast together."""
        at = slots, buckets % self.length
        known = (self._columns["bucket"][at] == buckets) & (buckets >= 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(known, self._columns["total"][at] / self._columns["count"][at], np.nan))

    def last_mean(self, slots: Ints, buckets: Ints, back: int) -> Floats:
        """The mean of each slot's bucket, or of the nearest known one before it, at most `back` buckets."""
        found = self.means(slots, buckets)
        for step in range(1, back + 1):
            missing = np.isnan(found)
            if not missing.any():
                break
            found[missing] = self.means(slots[missing], buckets[missing] - step)
        return found


def with_facts(points: Points, facts: Callable[[int], dict[str, float]]) -> Callable[[int], Evidence]:
    """Evidence of the original values, with what the derivation adds."""
    evidence = points.evidence
    return lambda index: msgspec.structs.replace(evidence(index), facts=facts(index))
