"""Fetched batches: what they hold from the offset that was asked for, and what becomes of those that are damaged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiokafka.consumer.fetcher as fetcher
import pytest
from aiokafka import codec
from aiokafka.record import _crecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.types import TP

from tocsin.agents import record_batches
from tocsin.agents.decompression import bound_decompression
from tocsin.agents.record_batches import BatchRecords, BatchRefused, RecordBatch, read_in_batches

READ = TP("metrics", 0)
_LZ4 = 3
_OFFSETS_BYTES = 8
_BEHIND_CHECKSUM = 61


@pytest.fixture(autouse=True)
def batched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading in batches and bounded decompression, for as long as a test lasts."""
    monkeypatch.setattr(fetcher, "PartitionRecords", fetcher.PartitionRecords)
    monkeypatch.setattr(record_batches, "_batched", set())
    for module in (codec, _crecords.default_records, _crecords.legacy_records):
        for name in ("gzip_decode", "snappy_decode", "lz4_decode", "zstd_decode"):
            monkeypatch.setattr(module, name, getattr(codec, name), raising=False)
    read_in_batches([READ.topic])
    bound_decompression(2**20)


def written(first: int, values: list[bytes], packing: int = _LZ4) -> bytes:
    """A record batch as it lies on a topic."""
    builder = DefaultRecordBatchBuilder(2, packing, 0, -1, -1, -1, 2**20)
    for at, value in enumerate(values):
        builder.append(at, 1_000 + at, b"k%d" % at, value, [("h", b"%d" % at)])
    return first.to_bytes(_OFFSETS_BYTES, "big") + bytes(builder.build())[_OFFSETS_BYTES:]


def legacy(first: int, values: list[bytes]) -> bytes:
    """One as Kafka wrote it before 0.11: a packed message that holds the others."""
    builder = LegacyRecordBatchBuilder(1, _LZ4, 2**20)
    for at, value in enumerate(values):
        builder.append(at, 1_000 + at, b"k%d" % at, value)
    return (first + len(values) - 1).to_bytes(_OFFSETS_BYTES, "big") + bytes(builder.build())[_OFFSETS_BYTES:]


def fetched(content: bytes, wanted: int, *, checked: bool = True) -> list[RecordBatch]:
    """What aiokafka makes of a fetch from an offset."""
    records = MemoryRecords(content)
    return list(BatchRecords(READ, records, [], wanted, None, None, checked, fetcher.READ_COMMITTED))


def read(batches: list[RecordBatch]) -> Iterator[tuple[int, bytes, bytes]]:
    return ((record.offset, record.key, record.value) for batch in batches for record in batch.unpack())


@pytest.mark.parametrize("write", [written, legacy])
def test_a_fetch_begins_within_a_batch(write: Any) -> None:
    content = write(10, [b"a", b"b", b"c"]) + write(13, [b"d"])
    batches = fetched(content, 11)
    assert batches[0].first == 11
    assert batches[-1].offset == 13
    assert list(read(batches)) == [(11, b"k1", b"b"), (12, b"k2", b"c"), (13, b"k0", b"d")]


def test_records_come_with_time_and_headers() -> None:
    (batch,) = fetched(written(0, [b"a", b"b"]), 0)
    assert [(record.timestamp, record.headers) for record in batch.unpack()] == [
        (1_000, [("h", b"0")]),
        (1_001, [("h", b"1")]),
    ]


def test_a_batch_that_does_not_unpack_uses_up_its_offsets_and_those_behind_it_are_read() -> None:
    damaged = bytearray(written(3, [b"x" * 100, b"y" * 100]))
    damaged[_BEHIND_CHECKSUM + 10 :] = b"\xff" * len(damaged[_BEHIND_CHECKSUM + 10 :])
    batches = fetched(written(0, [b"a", b"b", b"c"]) + bytes(damaged) + written(5, [b"d"]), 0, checked=False)
    assert [(batch.first, batch.offset) for batch in batches] == [(0, 2), (3, 4), (5, 5)]
    assert [len(batches[at].unpack()) for at in (0, 2)] == [3, 1]
    with pytest.raises(BatchRefused, match="does not unpack"):
        batches[1].unpack()


def test_a_batch_with_a_record_that_is_cut_short_is_refused_whole() -> None:
    damaged = bytearray(written(0, [b"a" * 50, b"b" * 50], packing=0))
    damaged[damaged.index(b"a" * 50) - 1] = 0x10  # its value is longer than it says
    (batch,) = fetched(bytes(damaged), 0, checked=False)
    with pytest.raises(BatchRefused, match="damaged"):
        batch.unpack()


def test_one_that_unpacks_to_more_than_is_allowed_is_refused() -> None:
    (batch,) = fetched(written(0, [bytes(2**20), bytes(2**20)]), 0)
    with pytest.raises(BatchRefused, match="more than"):
        batch.unpack()
