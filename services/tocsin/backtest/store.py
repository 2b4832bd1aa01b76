"""A history of any length in order of event time, sorted in bounded chunks; several of them lie on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.frame import Floats, Ints
from tocsin.engine.ingest.interning import Interner
from tocsin.engine.replay import Batch

CHUNK: Final = 4_000_000  # samples sorted at once: 80 MB, and as much again while they are sorted
BATCH: Final = 65_536
_ROW: Final = np.dtype([("at_ms", "<i8"), ("value", "<f8"), ("number", "<i4")])
_EMPTY: Final = np.empty(0, _ROW)
_Rows = NDArray[Any]


class Store:
    """Samples go in by `add`, in any order; after `close`, `batches` gives them, as often as wanted: by event time and,
    among equal times, as they came. With `as_written` they stay as they came. Temporary files are gone with it."""

    def __init__(self, as_written: bool = False, chunk: int = CHUNK, block: int = BATCH) -> None:
        self.interner = Interner(1)
        self.samples = 0
        self.first_ms, self.last_ms = 2**62, -(2**62)
        self._as_written, self._chunk, self._block = as_written, chunk, block
        self._parts: list[_Rows] = []
        self._held = 0
        self._runs: list[_Rows | _Spilled] = []

    def add(self, number: Ints, at_ms: Ints, values: Floats) -> None:
        """Add samples; `number` is the series in `interner`."""
        if not len(number):
            return
        rows = np.empty(len(number), _ROW)
        rows["at_ms"], rows["value"], rows["number"] = at_ms, values, number
        self.first_ms, self.last_ms = min(self.first_ms, int(at_ms.min())), max(self.last_ms, int(at_ms.max()))
        self.samples += len(rows)
        self._parts.append(rows)
        self._held += len(rows)
        if self._held >= self._chunk:
            self._spill()

    def close(self) -> None:
        """All is in."""
        if self._runs:
            self._spill()
        elif self._held:
            self._runs.append(self._sorted())

    def batches(self) -> Iterator[Batch]:
        """All samples, in order."""
        for rows in self._merged() if len(self._runs) > 1 and not self._as_written else self._one_by_one():
            for begin in range(0, len(rows), self._block):
                some = rows[begin : begin + self._block]
                yield Batch(
                    some["number"].astype(np.int64),
                    np.ascontiguousarray(some["at_ms"]),
                    np.ascontiguousarray(some["value"]),
                )

    def _sorted(self) -> _Rows:
        rows = np.concatenate(self._parts) if self._parts else _EMPTY
        self._parts, self._held = [], 0
        at_ms = rows["at_ms"]
        if self._as_written or bool((at_ms[1:] >= at_ms[:-1]).all()):
            return rows
        return np.asarray(rows[np.argsort(at_ms, kind="stable")])

    def _spill(self) -> None:
        rows = self._sorted()
        if len(rows):
            file = tempfile.TemporaryFile(prefix="tocsin-backtest-")  # noqa: SIM115 - lives as long as the store
            rows.tofile(file)
            self._runs.append(_Spilled(file, len(rows)))

    def _one_by_one(self) -> Iterator[_Rows]:
        for run in self._runs:
            reader = _Reader(run, self._block)
            while len(rows := reader.load()):
                reader.block = _EMPTY
                yield rows

    def _merged(self) -> Iterator[_Rows]:
        """What lies before every run's last loaded sample can be given out: nothing older comes."""
        readers = [_Reader(run, self._block) for run in self._runs]
        while True:
            for reader in readers:
                if not len(reader.block):
                    reader.load()
            going_on = [int(reader.block["at_ms"][-1]) for reader in readers if reader.more and len(reader.block)]
            horizon = min(going_on, default=2**63 - 1)
            parts = [reader.before(horizon) for reader in readers]
            rows = np.concatenate(parts)
            if len(rows):
                yield rows[np.argsort(rows["at_ms"], kind="stable")]
            elif not going_on:
                return
            else:  # a whole block of one time
                for reader in readers:
                    if reader.more and len(reader.block) and reader.block["at_ms"][-1] == horizon:
                        reader.load()


@dataclass(frozen=True, slots=True)
class _Spilled:
    """A run in a temporary file."""

    file: IO[bytes]
    rows: int


class _Reader:
    """One run, block by block."""

    def __init__(self, run: _Rows | _Spilled, block: int) -> None:
        self._run, self._size = run, block
        self._rows = run.rows if isinstance(run, _Spilled) else len(run)
        self._at = 0
        self.block = _EMPTY

    @property
    def more(self) -> bool:
        """Whether some of it is not loaded yet."""
        return self._at < self._rows

    def load(self) -> _Rows:
        """Append the next rows to the block."""
        count = min(self._size, self._rows - self._at)
        if isinstance(self._run, _Spilled):
            self._run.file.seek(self._at * _ROW.itemsize)
            found = np.fromfile(self._run.file, _ROW, count)
        else:
            found = self._run[self._at : self._at + count]
        self._at += count
        self.block = np.concatenate((self.block, found)) if len(self.block) else found
        return self.block

    def before(self, horizon: int) -> _Rows:
        """Take the rows before a time off the block."""
        count = int(np.searchsorted(self.block["at_ms"], horizon, side="left"))
        found, self.block = self.block[:count], self.block[count:]
        return found
