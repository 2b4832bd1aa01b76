"""A lane: the series that some rules watch in one way, numbered as slots, with the state of these rules."""

from abc import ABC, abstractmethod
from typing import Any

import msgspec
import numpy as np

from tocsin.engine.evaluate.columns import CHUNK, Columns, Spec
from tocsin.engine.evaluate.judge import Cell, Judge, Points, RuleVersion, Subject
from tocsin.engine.evaluate.plan import LaneSpec
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.frame import Ints
from tocsin.schemas.signal import Signal


class Lane(ABC):
    """What instant and window lanes share: membership, judges, and their checkpoint."""

    def __init__(self, spec: LaneSpec, rules: dict[str, list[RuleVersion]], series: SeriesTable, own: Spec) -> None:
        self.spec = spec
        self.series = series
        self.columns = Columns({"series": ("i8", 0, -1), "last": ("i8", 0, -(2**62)), **own})
        self.judges = {aggregate: Judge(versions) for aggregate, versions in sorted(rules.items())}
        self.late = 0
        self._slots = np.full(1_024, -1, np.int64)  # by series number

    def admit(self, number: int) -> None:
        """Watch one more series."""
        slot = self.columns.add()
        for judge in self.judges.values():
            judge.columns.add()
        self.columns["series"][slot] = number
        self._place(number, slot)

    def _place(self, number: int, slot: int) -> None:
        if number >= len(self._slots):
            more = max(number + 1 - len(self._slots), len(self._slots))
            self._slots = np.concatenate((self._slots, np.full(more, -1, np.int64)))
        self._slots[number] = slot

    def slots(self, numbers: Ints) -> Ints:
        """The slot of each series, -1 where it is not watched here."""
        known = np.minimum(numbers, len(self._slots) - 1)
        return np.where(numbers < len(self._slots), self._slots[known], -1)

    def describe(self, slot: int) -> Subject:
        """The series behind a slot."""
        number = int(self.columns["series"][slot])
        _, labels = self.series.describe(number)
        return Subject(labels, self.series.units[number])

    def judge_all(self, points: dict[str, Points], out: list[Signal]) -> None:
        """Let every judge look at the values of its aggregation."""
        for aggregate, judge in self.judges.items():
            judge.judge(points[aggregate], self.describe, out)

    def adopt(self, rules: dict[str, list[RuleVersion]]) -> None:
        """Go on with other rules on the same lane; state of rules that stay is kept."""
        judges = {}
        for aggregate, versions in sorted(rules.items()):
            judge = Judge(versions)
            if aggregate in self.judges:
                judge.inherit(self.judges[aggregate])
            else:
                judge.columns.add(self.columns.count)
            judges[aggregate] = judge
        self.judges = judges
        self.columns.dirty[:] = True

    @abstractmethod
    def take(self, samples: Samples, out: list[Signal]) -> None:
        """Samples of any series, grouped by series and in order within each; signals are added to `out`."""

    def quiet(  # noqa: B027 - most lanes have nothing to do
        self, clock_ms: int, quiet_ms: int, out: list[Signal]
    ) -> None:
        """Time went by without data; a lane whose verdicts wait for time acts on it."""

    def dirty_chunks(self) -> list[int]:
        """Chunks written since the last checkpoint; clears the note."""
        dirty = self.columns.dirty
        for judge in self.judges.values():
            length = min(len(dirty), len(judge.columns.dirty))
            dirty[:length] |= judge.columns.dirty[:length]
            judge.columns.dirty[:] = False
        chunks = np.flatnonzero(dirty[: -(-self.columns.count // CHUNK)]).tolist()
        dirty[:] = False
        return chunks

    def pack(self, chunk: int) -> bytes:
        """One chunk of slots with everything that hangs on them."""
        first, end = chunk * CHUNK, (chunk + 1) * CHUNK
        judges = []
        for aggregate, judge in self.judges.items():
            cells = [(s - first, c, cell) for (s, c), cell in judge.cells.items() if first <= s < end]
            judges.append((aggregate, judge.columns.pack(chunk), cells))
        return msgspec.msgpack.encode({"columns": self.columns.pack(chunk), "judges": judges})

    def unpack(self, chunk: int, value: bytes) -> None:
        """The inverse of `pack`, into a lane with the same rules; chunks come in order."""
        packed = msgspec.msgpack.decode(value)
        first = chunk * CHUNK
        self.columns.unpack(chunk, packed["columns"])
        for slot in range(first, self.columns.count):
            self._place(int(self.columns["series"][slot]), slot)
        for aggregate, columns, cells in packed["judges"]:
            judge = self.judges[aggregate]
            judge.columns.unpack(chunk, columns)
            for slot, column, cell in cells:
                judge.cells[first + slot, column] = msgspec.convert(cell, Cell)

    def prune(self) -> None:
        """Drop what can no longer matter."""
        for judge in self.judges.values():
            judge.prune(self.columns["last"])

    def header(self) -> dict[str, Any]:
        """What is not in chunks."""
        return {"late": self.late, "slots": self.columns.count}


def segments(slots: Ints) -> Ints:
    """Where runs of equal slots begin, and the end: n + 1 numbers for n runs."""
    return np.concatenate(([0], np.flatnonzero(np.diff(slots)) + 1, [len(slots)]))


def running_maximum(values: Ints, begins: Ints, floor: Ints) -> Ints:
    """For each value the maximum of its run's floor and the values before it in its run."""
    lengths = np.diff(begins)
    low = min(int(values.min()), int(floor.min()))
    span = max(int(values.max()), int(floor.max())) - low + 1
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
