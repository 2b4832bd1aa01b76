"""How fetched records are cut into parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

from aiokafka.errors import CorruptRecordException
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from tocsin.agents import metric_parts
from tocsin.agents.record_batches import RecordBatch
from tocsin.engine.ingest.step import Run

_BYTES, _MESSAGE = 100, 60


@dataclass(frozen=True)
class _Record:
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0
    timestamp_type: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


def _damaged() -> Iterator[_Record]:
    """A batch whose second record cannot be read: nothing of it counts."""
    yield _Record(0, b"k", b"x")
    raise CorruptRecordException("it is cut short")


_VALUES = st.none() | st.sampled_from((0, 1, 30, 59, 60, 61, 100, 101, 200)).map(lambda size: b"x" * size)
_BATCHES = st.lists(st.lists(st.tuples(st.integers(1, 2), _VALUES), max_size=8) | st.none(), max_size=4)


@given(_BATCHES)
def test_every_record_is_in_one_part_or_refused_in_order_and_within_bounds(
    lists: list[list[tuple[int, bytes | None]] | None],
) -> None:
    batches: list[RecordBatch] = []
    expected: list[tuple[int, object]] = []
    offset = 0
    for records in lists:
        if records is None:
            batches.append(RecordBatch("m", 0, offset + 1, offset + 3, _damaged()))
            expected.append((offset + 1, "compression"))
            offset += 3
            continue
        made = []
        for step, value in records:
            offset += step
            made.append(_Record(offset, b"k", value))
            expected.append((offset, "size" if len(value or b"") > _MESSAGE else value))
        if made:
            batches.append(RecordBatch("m", 0, made[0].offset, made[-1].offset, made))

    with mock.patch.multiple(metric_parts, _BYTES=_BYTES, _MESSAGES=5, MAX_MESSAGE_BYTES=_MESSAGE):
        parts = list(metric_parts.parts(TP("m", 0), batches))

    found: list[tuple[int, object]] = []
    for part in parts:
        run = part.what
        if not isinstance(run, Run):
            found.append((run.offset, run.reject.reason))
            continue
        assert run.values
        assert sum(len(value or b"") for value in run.values[:-1]) <= _BYTES
        assert part.size_bytes == sum(len(value or b"") for value in run.values)
        found += zip(run.offsets, run.values, strict=True)
    assert found == expected
