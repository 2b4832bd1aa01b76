"""Cells by slot and rule, in columns.

As objects, cells of a hundred thousand alerts lie scattered among what every message leaves behind for a moment, which
then is scattered too: ingest took up to twice as long, and each cell 0.7 KiB instead of 0.1.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from tocsin.engine.evaluate.cell import NEVER, NONE, Cell
from tocsin.engine.evaluate.columns import CHUNK, Columns
from tocsin.engine.frame import Floats, Ints

_NO_ROW: Final = -1
_NAME_BYTES: Final = 24  # a fingerprint, that of a candidate too
_FIXED: Final = 6  # slot, owner, cool_ms, fired_level, order_at, order_number; then `since` and `due` of every level


class Cells:
    """A row for each cell. `levels` is how many levels each rule has; what `get` gives is a copy."""

    def __init__(self, levels: Sequence[int]) -> None:
        self._levels = list(levels)
        self._most = max(self._levels, default=0)
        self._table = Columns(
            {
                "numbers": ("i8", _FIXED + 2 * self._most, NEVER),
                "value": ("f8", 0, 0.0),
                "name": (f"S{_NAME_BYTES}", 0, 0),
                "used": ("?", 0, False),
            }
        )
        self._rows: list[Ints | None] = [None] * len(self._levels)  # by owner: by slot its row
        self._free: list[int] = []

    def __len__(self) -> int:
        return self._table.count - len(self._free)

    def _row(self, slot: int, owner: int) -> int:
        rows = self._rows[owner]
        return int(rows[slot]) if rows is not None and slot < len(rows) else _NO_ROW

    def has(self, slot: int, owner: int) -> bool:
        """Whether something is kept of a rule on a slot."""
        return self._row(slot, owner) != _NO_ROW

    def get(self, slot: int, owner: int) -> Cell | None:
        """What is kept of a rule on a slot."""
        row = self._row(slot, owner)
        return None if row == _NO_ROW else self._cell(row, self._levels[owner])

    def _cell(self, row: int, levels: int) -> Cell:
        _, _, cool_ms, fired_level, order_at, order_number, *by_level = self._table["numbers"][row].tolist()
        name, value = self._table["name"][row].decode(), float(self._table["value"][row])
        since, due = by_level[:levels], by_level[self._most : self._most + levels]
        return Cell(name, since, due, cool_ms, fired_level, order_at, order_number, value)

    def put(self, slot: int, owner: int, cell: Cell) -> None:
        """Keep this of a rule on a slot."""
        row = self._row(slot, owner)
        if row == _NO_ROW:
            row = self._new_row(slot, owner)
        room = [NEVER] * (self._most - self._levels[owner])
        fixed = slot, owner, cell.cool_ms, cell.fired_level, cell.order_at, cell.order_number
        self._table["numbers"][row] = [*fixed, *cell.since, *room, *cell.due, *room]
        self._table["value"][row] = cell.value
        name = cell.fingerprint.encode()
        assert len(name) <= _NAME_BYTES, f"{cell.fingerprint!r} is longer than fingerprints are"
        self._table["name"][row] = name

    def _new_row(self, slot: int, owner: int) -> int:
        row = self._free.pop() if self._free else self._table.add()
        self._reach(owner, slot)[slot] = row
        self._table["used"][row] = True
        return row

    def _reach(self, owner: int, slot: int) -> Ints:
        """The rows of a rule, by slots up to this one at least."""
        rows = self._rows[owner]
        if rows is None:
            rows = np.full(max(CHUNK, slot + 1), _NO_ROW, np.int32)
        elif slot >= len(rows):
            rows = np.concatenate((rows, np.full(max(slot + 1 - len(rows), len(rows)), _NO_ROW, np.int32)))
        self._rows[owner] = rows
        return rows

    def drop(self, slots: Ints, owners: Ints) -> None:
        """Forget cells that are there."""
        for slot, owner in zip(slots.tolist(), owners.tolist(), strict=True):
            rows = self._rows[owner]
            assert rows is not None, "a cell that is not there"
            row = int(rows[slot])
            rows[slot] = _NO_ROW
            self._table["used"][row] = False
            self._free.append(row)

    def drop_slot(self, slot: int) -> None:
        """Forget all cells of a slot."""
        owners = [owner for owner in range(len(self._levels)) if self.has(slot, owner)]
        self.drop(np.full(len(owners), slot), np.array(owners, np.int64))

    def _used(self) -> Ints:
        """Rows in use, by slot and rule."""
        rows = np.flatnonzero(self._table["used"][: self._table.count])
        numbers = self._table["numbers"]
        return rows[np.lexsort((numbers[rows, 1], numbers[rows, 0]))]

    def items(self) -> Iterator[tuple[tuple[int, int], Cell]]:
        """Every cell, by slot and rule."""
        for row in self._used().tolist():
            slot, owner = self._table["numbers"][row, :2].tolist()
            yield (slot, owner), self._cell(row, self._levels[owner])

    def names(self) -> Iterator[tuple[int, int, str]]:
        """Slot, rule and fingerprint of every cell."""
        rows = self._used()
        slots, owners = self._table["numbers"][rows, :2].T.tolist()
        return zip(slots, owners, map(bytes.decode, self._table["name"][rows].tolist()), strict=True)

    def pasts(self) -> tuple[Ints, Ints, Ints]:
        """Slot and rule of every cell, and up to when its past matters: its cooldown, and the last that it said."""
        numbers = self._table["numbers"][self._used()]
        return numbers[:, 0], numbers[:, 1], np.maximum(numbers[:, 2], numbers[:, 4])

    def moved(self, owners: Mapping[int, int], levels: Sequence[int]) -> "Cells":
        """Those of some rules, under their places among others, which have these `levels`."""
        found = Cells(levels)
        places = np.full(len(self._levels), NONE)
        for source, owner in owners.items():
            places[source] = owner
        rows = self._used()
        rows = rows[places[self._table["numbers"][rows, 1]] != NONE]
        numbers = self._table["numbers"][rows]
        both = min(self._most, found._most)
        kept = np.full((len(rows), _FIXED + 2 * found._most), NEVER)
        kept[:, :_FIXED] = numbers[:, :_FIXED]
        for mine, theirs in ((_FIXED, _FIXED), (_FIXED + self._most, _FIXED + found._most)):
            kept[:, theirs : theirs + both] = numbers[:, mine : mine + both]
        kept[:, 1] = places[numbers[:, 1]]
        found._add(kept, self._table["value"][rows], self._table["name"][rows])
        return found

    def _add(self, numbers: Ints, values: Floats, names: Any) -> None:
        """Cells that are not there yet."""
        if not len(numbers):
            return
        first = self._table.add(len(numbers))
        rows = np.arange(first, first + len(numbers))
        self._table["numbers"][rows], self._table["value"][rows] = numbers, values
        self._table["name"][rows], self._table["used"][rows] = names, True
        for owner in np.unique(numbers[:, 1]).tolist():
            own = numbers[:, 1] == owner
            slots = numbers[own, 0]
            self._reach(owner, int(slots.max()))[slots] = rows[own]

    def by_chunk(self) -> dict[int, dict[str, bytes]]:
        """Cells as plain values, by the chunk that their slot lies in."""
        rows = self._used()
        if not len(rows):
            return {}
        chunks = self._table["numbers"][rows, 0] // CHUNK
        cuts = np.flatnonzero(np.diff(chunks)) + 1
        names = ("numbers", "value", "name")
        return {
            chunk: {name: self._table[name][some].tobytes() for name in names}
            for chunk, some in zip(chunks[np.append(0, cuts)].tolist(), np.split(rows, cuts), strict=True)
        }

    def unpack(self, packed: Mapping[str, bytes]) -> None:
        """Put the cells of a chunk in place."""
        numbers = np.frombuffer(packed["numbers"], np.int64).reshape(-1, _FIXED + 2 * self._most)
        values, names = np.frombuffer(packed["value"]), np.frombuffer(packed["name"], f"S{_NAME_BYTES}")
        self._add(numbers, values, names)
