"""CSV as columns of samples: name, value, timestamp, unit, and labels; or only timestamp and value."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from tocsin.backtest.errors import HistoryError
from tocsin.backtest.intake import Intake
from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.metric import Reject

_ROWS: Final = 16_384
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_PLAIN_LENGTHS: Final = frozenset({19, 23})  # 2014-04-01 00:00:00, and with milliseconds
_LARGEST: Final = 2**62
Cells = Sequence[str]


def take_csv(path: Path, blocks: Iterator[list[bytes]], intake: Intake, metric: str) -> None:
    """Read rows. Naive times are UTC; a header without `name` means the metric given. Raises HistoryError."""
    rows: Any = csv.reader(_lines(blocks))
    header = [name.strip() for name in next(rows, [])]
    for column in ("value", "timestamp"):
        if column not in header:
            mend = "write timestamp,value or name,value,timestamp and the labels' names"
            raise HistoryError(f"{path}:1: the header has no column {column!r}; {mend}")
    if len(set(header)) < len(header):
        raise HistoryError(f"{path}:1: the header names a column twice; rename one")
    table = _Table(path, header, intake, metric)
    while True:
        before = rows.line_num
        found: list[list[str]] = []
        try:
            found += islice(rows, _ROWS)
        except csv.Error as error:
            intake.reject(f"{path}:{rows.line_num}", Reject("type", f"is not CSV: {error}"))
            if not found:
                continue
        if not found:
            return
        table.take(found, before + 1)


def _lines(blocks: Iterator[list[bytes]]) -> Iterator[str]:
    mark = "utf-8-sig"
    for lines in blocks:
        for line in b"\n".join(lines).decode(mark, errors="replace").split("\n"):
            yield line + "\n"  # a quoted field may go on in the next line
        mark = "utf-8"


class _Table:
    """Where each column goes."""

    def __init__(self, path: Path, header: list[str], intake: Intake, metric: str) -> None:
        self._path, self._width, self._intake = path, len(header), intake
        self._value, self._at = header.index("value"), header.index("timestamp")
        self._named = [place for place in range(self._width) if place not in (self._value, self._at)]
        self._names = [header[place] for place in self._named]
        self._metric = metric
        self._numbers: dict[tuple[str, ...], int] = {}

    def take(self, rows: list[list[str]], line: int) -> None:
        """Rows that begin at a line."""
        lines: Sequence[int] = range(line, line + len(rows))
        if any(len(row) != self._width for row in rows):
            lines, rows = self._whole(rows, lines)
        if not rows:
            return
        columns: list[Cells] = list(zip(*rows, strict=True))
        at_ms, values = _times(columns[self._at]), _values(columns[self._value])
        keys = list(zip(*(columns[place] for place in self._named), strict=True)) if self._named else [()] * len(rows)
        try:
            numbers = [self._numbers[key] for key in keys]
        except KeyError:
            numbers = [self._number(key) for key in keys]
        self._intake.add(
            lambda index: f"{self._path}:{lines[index]}",
            range(len(rows)),
            np.array(numbers, np.int64),
            at_ms,
            values,
            lambda index: (columns[self._value][index], columns[self._at][index]),
        )

    def _whole(self, rows: list[list[str]], lines: Sequence[int]) -> tuple[list[int], list[list[str]]]:
        kept = []
        for line, row in zip(lines, rows, strict=True):
            if len(row) == self._width:
                kept.append((line, row))
            elif row:
                detail = f"has {len(row)} columns, and the header {self._width}; quote values with commas"
                self._intake.reject(f"{self._path}:{line}", Reject("type", detail))
        return [line for line, _ in kept], [row for _, row in kept]

    def _number(self, key: tuple[str, ...]) -> int:
        found = self._numbers.get(key)
        if found is None:
            labels = dict(zip(self._names, key, strict=True))
            name = labels.pop("name", self._metric).strip()
            unit = labels.pop("unit", "") or None
            found = self._intake.series(name, {label: cell for label, cell in labels.items() if cell}, unit)
            self._numbers[key] = found
        return found


def _values(cells: Cells) -> Floats:
    """NaN for what is no number."""
    try:
        return np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        return np.array([_float(cell) for cell in cells])


def _float(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _times(cells: Cells) -> Ints:
    """Epoch milliseconds, as such or written out; -1 for what is no time."""
    if cells[0].isdecimal():
        try:
            return np.minimum(np.fromiter(map(int, cells), np.int64, len(cells)), _LARGEST)
        except (ValueError, OverflowError):
            return np.array([_time(cell) for cell in cells], np.int64)
    bare = [cell.removesuffix("Z") for cell in cells] if cells[0].endswith("Z") else cells
    if len(bare[0]) in _PLAIN_LENGTHS and set(map(len, bare)) == {len(bare[0])}:
        try:
            return np.array(bare, "datetime64[ms]").astype(np.int64)
        except ValueError:
            return np.array([_time(cell) for cell in cells], np.int64)
    return np.array([_time(cell) for cell in cells], np.int64)


def _time(cell: str) -> int:
    text = cell.strip()
    try:
        number = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return -1
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
    return round(number) if 0 <= number <= _LARGEST else -1
