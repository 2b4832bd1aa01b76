"""History in files: JSON lines and CSV, gzip of both, read in bounded blocks."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Final, cast

from tocsin.backtest.errors import HistoryError
from tocsin.backtest.intake import Intake
from tocsin.backtest.rows import take_csv
from tocsin.schemas.metric import MAX_MESSAGE_BYTES, Reject

_BLOCK_BYTES: Final = 2**20
_GZIP: Final = b"\x1f\x8b"
FORMATS: Final = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv"}
Progress = Callable[[int, int], None]
"""Bytes read, of how many."""


def read_file(path: Path, intake: Intake, metric: str | None, progress: Progress = lambda _done, _all: None) -> None:
    """Read a whole file; what is no sample is rejected with its line. Raises HistoryError."""
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    format_ = FORMATS.get(suffixes[-1] if suffixes else "")
    if format_ is None:
        raise HistoryError(f"{path}: is neither .jsonl nor .csv (nor .gz of one); rename it")
    try:
        with path.open("rb") as raw:
            size = path.stat().st_size
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw
            blocks = _blocks(path, stream, lambda: progress(raw.tell(), size))
            if format_ == "json":
                _take_lines(path, blocks, intake)
            else:
                take_csv(path, blocks, intake, metric or path.name.split(".")[0])
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise HistoryError(f"{path}: cannot be read ({reason}); check the path and the file") from None


def _blocks(path: Path, stream: IO[bytes], progress: Callable[[], None]) -> Iterator[list[bytes]]:
    """Whole lines without their ends, some at a time."""
    rest = b""
    while block := stream.read(_BLOCK_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > MAX_MESSAGE_BYTES + _BLOCK_BYTES:
            raise HistoryError(f"{path}: has a line of over {MAX_MESSAGE_BYTES} bytes; write one sample a line")
        progress()
        if lines:
            yield lines
    if rest:
        yield [rest]


def _take_lines(path: Path, blocks: Iterator[list[bytes]], intake: Intake) -> None:
    first = 1
    for lines in blocks:
        numbers: Sequence[int] = range(first, first + len(lines))
        first += len(lines)
        stripped = [line.strip() for line in lines]
        if not all(stripped) or max(map(len, stripped)) > MAX_MESSAGE_BYTES:
            kept = []
            for number, line in zip(numbers, stripped, strict=True):
                if len(line) > MAX_MESSAGE_BYTES:
                    intake.reject(f"{path}:{number}", Reject("size", f"the line has over {MAX_MESSAGE_BYTES} bytes"))
                elif line:
                    kept.append((number, line))
            numbers, stripped = [number for number, _ in kept], [line for _, line in kept]
        intake.json(partial(_place, path, numbers), stripped)


def _place(path: Path, numbers: Sequence[int], index: int) -> str:
    return f"{path}:{numbers[index]}"
