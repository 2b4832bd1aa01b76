"""Growing numpy columns of one table, packed and unpacked in chunks of rows."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

_CHUNK_BITS: Final = 9
CHUNK: Final = 1 << _CHUNK_BITS
_WIDE: Final = 48  # values a row: columns that are profiles or rings, of which little changes at a time
_STRIP: Final = 12
_MOST_STRIPS: Final = 16
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
        self._written: dict[str, int] = {}  # hashes of strips, as they were last packed or unpacked

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
        self._written.clear()
        return fresh

    @property
    def layout(self) -> str:
        """A text that is equal for tables of equal columns in the same order, in which strips hold them."""
        return ",".join(f"{name}:{kind}x{width}" for name, (kind, width, _) in self.spec.items())

    def copy(self, other: "Columns") -> None:
        """Have the rows of another table of equal columns."""
        assert self.spec == other.spec
        self.arrays = {name: array.copy() for name, array in other.arrays.items()}
        self.count, self.capacity = other.count, other.capacity
        self.dirty = np.ones_like(other.dirty)
        self._written.clear()

    def renew(self, row: int) -> None:
        """Give a row its initial values again."""
        for name, array in self.arrays.items():
            array[row] = self.spec[name][2]
        self.touch_row(row)

    def touch(self, rows: NDArray[np.int64]) -> None:
        """Note that rows were written, for the next checkpoint."""
        self.dirty[rows >> _CHUNK_BITS] = True

    def touch_row(self, row: int) -> None:
        """As `touch`, of one row."""
        self.dirty[row // CHUNK] = True

    def pack(self, chunk: int) -> dict[str, Any]:
        """The rows of one chunk as plain values."""
        first, end = chunk * CHUNK, min((chunk + 1) * CHUNK, self.count)
        return {"rows": end - first, **{name: array[first:end].tobytes() for name, array in self.arrays.items()}}

    def dirty_chunks(self, count: int) -> NDArray[np.bool_]:
        """Which of `count` chunks were written since this was last asked."""
        found = self.dirty[:count].copy() if len(self.dirty) >= count else np.ones(count, bool)
        self.dirty[:] = False
        return found

    def pack_parts(self, chunk: int) -> Iterator[tuple[str, bytes]]:
        """The rows of one chunk in parts, by name: the narrow columns, then of the wide ones those strips that are not
        as they were when they were last packed or unpacked."""
        first, end = chunk * CHUNK, min((chunk + 1) * CHUNK, self.count)
        narrow = {name: array[first:end].tobytes() for name, array in self.arrays.items() if not self._is_wide(name)}
        yield str(chunk), msgspec.msgpack.encode({"layout": self.layout, "rows": end - first, **narrow})
        for strip, names, part in self.strips():
            name = f"{chunk}/{strip}"
            content = b"".join(self.arrays[one][first:end, part].tobytes() for one in names)
            if self._written.get(name) != (now := hash(content)):
                self._written[name] = now
                yield name, content

    def unpack_parts(self, chunk: int, part_of: Callable[[str], bytes]) -> None:
        """Put the rows of a chunk in place; chunks come in order. Rows of other columns than these begin anew."""
        packed = msgspec.msgpack.decode(part_of(str(chunk)))
        if packed["layout"] != self.layout:
            self.add(packed["rows"])
            return
        self.unpack(chunk, packed)
        first, end = chunk * CHUNK, chunk * CHUNK + packed["rows"]
        for strip, names, part in self.strips():
            content, at = part_of(f"{chunk}/{strip}"), 0
            self._written[f"{chunk}/{strip}"] = hash(content)
            for name in names:
                place = self.arrays[name][first:end, part]
                place[:] = np.frombuffer(content, place.dtype, place.size, at).reshape(place.shape)
                at += place.nbytes

    def strips(self) -> Iterator[tuple[str, list[str], slice]]:
        """Into what wide columns are cut: a name, the columns, which all are as wide, and which of their values."""
        widths = sorted({width for _, width, _ in self.spec.values() if width >= _WIDE})
        for width in widths:
            names = [name for name, (_, of, _) in self.spec.items() if of == width]
            step = max(_STRIP, -(-width // _MOST_STRIPS))
            for begin in range(0, width, step):
                yield f"{width}-{begin}", names, slice(begin, begin + step)

    def _is_wide(self, name: str) -> bool:
        return self.spec[name][1] >= _WIDE

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
