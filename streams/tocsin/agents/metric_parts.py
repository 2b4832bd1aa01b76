"""Fetched record batches of a metrics topic in parts to be decoded one after the other.

A part is so small that its messages, and what they become until they are columns, stay in the processor's cache; record
batches that are smaller make a part together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import numpy as np
from faust.types import TP

from tocsin.agents.record_batches import BatchRefused, RecordBatch
from tocsin.engine.ingest.step import DeadLetter, Run
from tocsin.schemas.metric import MAX_MESSAGE_BYTES, Reject

_BYTES: Final = 2**18
_MESSAGES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Part:
    """Messages of so many bytes, or one that no sample can be in."""

    what: Run | DeadLetter
    size_bytes: int


class _Each(Sequence[Any]):
    """One attribute of records, read only where it is asked for: few samples want it."""

    def __init__(self, records: Sequence[Any], name: str) -> None:
        self._records = records
        self._read = attrgetter(name)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: Any) -> Any:
        return self._read(self._records[index])


class _Gathered:
    """Records that are to be one part, or more if they are large."""

    def __init__(self, tp: TP) -> None:
        self._tp = tp
        self._records: list[Any] = []
        self._values: list[bytes | None] = []
        self._size_bytes = 0

    def add(self, records: Sequence[Any]) -> None:
        """More records, behind those before."""
        values = [record.value for record in records]
        self._records += records
        self._values += values
        self._size_bytes += sum(map(len, filter(None, values)))

    @property
    def is_enough(self) -> bool:
        """Whether it is time to decode them."""
        return self._size_bytes >= _BYTES or len(self._records) >= _MESSAGES

    def parts(self) -> Iterator[Part]:
        """Hand them over. A message that is too large is a dead letter."""
        records, values, size_bytes = self._records, self._values, self._size_bytes
        self._records, self._values, self._size_bytes = [], [], 0
        if size_bytes <= min(_BYTES, MAX_MESSAGE_BYTES):
            if records:
                yield self._part(records, values, size_bytes)
            return
        lengths = np.array([0 if value is None else len(value) for value in values], np.int64)
        up_to = np.concatenate(([0], np.cumsum(lengths)))
        too_large = [*np.flatnonzero(lengths > MAX_MESSAGE_BYTES).tolist(), len(records)]
        begin = 0
        for place in too_large:
            while begin < place:
                end = min(int(np.searchsorted(up_to, up_to[begin] + _BYTES, side="right")), place)
                yield self._part(records[begin:end], values[begin:end], int(up_to[end] - up_to[begin]))
                begin = end
            if place < len(records):
                yield self._too_large(records[place])
            begin = place + 1

    def _part(self, records: list[Any], values: list[bytes | None], size_bytes: int) -> Part:
        first, last = records[0].offset, records[-1].offset
        offsets: Sequence[int] = range(first, last + 1)
        if len(offsets) != len(records):
            offsets = [record.offset for record in records]
        keys = [record.key for record in records]
        times_ms, headers = _Each(records, "timestamp"), _Each(records, "headers")
        return Part(Run(self._tp.topic, self._tp.partition, offsets, times_ms, keys, values, headers), size_bytes)

    def _too_large(self, record: Any) -> Part:
        length = len(record.value)
        reject = Reject("size", f"the message has {length} bytes; at most {MAX_MESSAGE_BYTES} are allowed")
        message = record.key, bytes(record.value), record.timestamp, record.headers
        return Part(DeadLetter(self._tp.topic, self._tp.partition, record.offset, reject, *message), length)


def parts(tp: TP, batches: Sequence[RecordBatch]) -> Iterator[Part]:
    """Every record of the batches, in order; a batch that is refused is one dead letter."""
    gathered = _Gathered(tp)
    for batch in batches:
        try:
            gathered.add(batch.unpack())
        except BatchRefused as refused:
            yield from gathered.parts()
            detail = f"offsets {batch.first} to {batch.offset}: {refused}"
            yield Part(DeadLetter(tp.topic, tp.partition, batch.first, Reject("compression", detail), None, b""), 0)
        if gathered.is_enough:
            yield from gathered.parts()
    yield from gathered.parts()
