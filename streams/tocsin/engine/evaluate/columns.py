"""Growing numpy columns of one table, packed and unpacked in chunks of rows."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

CHUNK: Final = 512
_SMALLEST: Final = 64

Spec = dict[str, tuple[str, int, float]]  # name -> (dtype, width; 0 is one value a row, initial value)


class Columns:
    """Named arrays with one row a slot. Rows are only added; a row begins with its initial values."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.count = 0
        self.arrays: dict[str, NDArray[Any]] = {name: self._fresh(name, _SMALLEST) for name in spec}
        self.capacity = _SMALLEST if spec else 0  # rows that fit without growing
        self.dirty = np.zeros(1, bool)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    def _fresh(self, name: str, rows: int) -> NDArray[Any]:
        kind, width, initial = self.spec[name]
        return np.full((rows, width) if width else rows, initial, dtype=kind)

    def add(self, rows: int = 1) -> int:
        """Add rows; returns the number of the first."""
        first = self.count
        self.count += rows
        if self.count > self.capacity:
            self._grow(max(self.count - self.capacity, self.capacity))
        self.dirty[first // CHUNK : (self.count - 1) // CHUNK + 1] = True
        return first

    def _grow(self, more: int) -> None:
        for name, array in self.arrays.items():
            self.arrays[name] = np.concatenate((array, self._fresh(name, more)))
        self.dirty = np.concatenate((self.dirty, np.zeros(-(-more // CHUNK) + 1, bool)))
        self.capacity += more

    def reshape(self, spec: Spec) -> list[str]:
        """Have these columns instead: those that were there stay as they are. Returns the names of new ones."""
        if spec == self.spec:
            return []
        fresh = [name for name in spec if name not in self.arrays]
        capacity = self.capacity
        self.spec = spec
        self.arrays = {name: self._fresh(name, capacity) if name in fresh else self.arrays[name] for name in spec}
        self.dirty[:] = True
        return fresh

    @property
    def layout(self) -> str:
        """A text that is equal for tables of equal columns."""
        return ",".join(f"{name}:{kind}x{width}" for name, (kind, width, _) in sorted(self.spec.items()))

    def copy(self, other: "Columns") -> None:
        """Have the rows of another table of equal columns."""
        assert self.spec == other.spec
        self.arrays = {name: array.copy() for name, array in other.arrays.items()}
        self.count, self.capacity = other.count, other.capacity
        self.dirty = np.ones_like(other.dirty)

    def renew(self, row: int) -> None:
        """Give a row its initial values again."""
        for name, array in self.arrays.items():
            array[row] = self.spec[name][2]
        self.touch_row(row)

    def touch(self, rows: NDArray[np.int64]) -> None:
        """Note that rows were written, for the next checkpoint."""
        self.dirty[rows // CHUNK] = True

    def touch_row(self, row: int) -> None:
        """As `touch`, of one row."""
        self.dirty[row // CHUNK] = True

    def pack(self, chunk: int) -> dict[str, Any]:
        """The rows of one chunk as plain values."""
        first, end = chunk * CHUNK, min((chunk + 1) * CHUNK, self.count)
        return {"rows": end - first, **{name: array[first:end].tobytes() for name, array in self.arrays.items()}}

    def unpack(self, chunk: int, packed: dict[str, Any]) -> None:
        """Put the rows of a chunk in place; chunks come in order."""
        first, rows = chunk * CHUNK, packed["rows"]
        if self.count < first + rows:
            self.add(first + rows - self.count)
        for name, array in self.arrays.items():
            kind, width, _ = self.spec[name]
            if name in packed:
                found = np.frombuffer(packed[name], kind)
                array[first : first + rows] = found.reshape(rows, width) if width else found
