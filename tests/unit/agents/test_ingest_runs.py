"""How fetched records are cut into runs."""

from __future__ import annotations

from dataclasses import dataclass
from unittest import mock

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from tocsin.agents import ingest
from tocsin.agents.record_batches import RecordBatch
from tocsin.engine.ingest.step import Run

_RUN, _MESSAGE = 100, 60


@dataclass(frozen=True)
class _Record:
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0
    timestamp_type: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


_VALUES = st.none() | st.sampled_from((0, 1, 30, 59, 60, 61, 100, 101, 200)).map(lambda size: b"x" * size)
_BATCHES = st.lists(st.lists(st.tuples(st.integers(1, 2), _VALUES), max_size=8) | st.none(), max_size=4)


@given(_BATCHES)
def test_every_record_is_in_one_run_or_refused_in_order_and_within_bounds(
    lists: list[list[tuple[int, bytes | None]] | None],
) -> None:
    batches: list[RecordBatch] = []
    expected: list[tuple[int, object]] = []
    offset = 0
    for records in lists:
        if records is None:
            batches.append(RecordBatch("m", 0, offset + 1, offset + 3, (), "damaged"))
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

    with mock.patch.multiple(ingest, _RUN_BYTES=_RUN, MAX_MESSAGE_BYTES=_MESSAGE):
        runs = list(ingest._runs(TP("m", 0), batches))

    found: list[tuple[int, object]] = []
    for run in runs:
        if not isinstance(run, Run):
            found.append((run.offset, run.reject.reason))
            continue
        assert run.values
        assert sum(len(value or b"") for value in run.values[:-1]) <= _RUN
        found += zip(run.offsets, run.values, strict=True)
    assert found == expected
