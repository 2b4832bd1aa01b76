"""Entries of any size: never a record that a broker refuses, never a mixture of two versions, nothing left behind."""

from __future__ import annotations

import random

import pytest
from tests.unit.agents.tables_double import Crash, Outbox, Table

from tocsin.agents.pieces import PieceTable
from tocsin.engine.pieces import DamagedEntry

BROKER_LIMIT = 2**20
NAME = b"0/lane/1"


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, 1_024, 524_287, 524_288, 7_400_000])
async def test_what_was_written_is_read_and_no_record_exceeds_what_a_stock_broker_takes(size: int) -> None:
    outbox, table = Outbox(), Table()
    pieces = PieceTable(outbox, table)  # type: ignore[arg-type]
    for value in (noise(size), b"a" * size):
        await pieces.write(0, {NAME: value})
        assert pieces.read(0, NAME) == value
    assert pieces.read(1, NAME) is None
    assert outbox.largest < BROKER_LIMIT * 0.6


async def test_a_shorter_version_leaves_no_piece_of_a_longer_one() -> None:
    outbox, table = Outbox(), Table()
    pieces = PieceTable(outbox, table)  # type: ignore[arg-type]
    for size in (3_000_000, 2_000_000, 600_000):
        await pieces.write(0, {NAME: noise(size, size)})
        assert pieces.read(0, NAME) == noise(size, size)
    assert len(table.data.partitions[0]) == 3  # the root and two pieces
    await pieces.write(0, {NAME: b"short"})
    assert list(table.data.partitions[0]) == [NAME]
    await pieces.write(0, {NAME: None})
    assert table.data.partitions[0] == {}


@pytest.mark.parametrize("sizes", [(2_000_000, 1_200_000), (1_200_000, 2_000_000), (2_000_000, 10), (10, 2_000_000)])
async def test_a_crash_at_any_record_leaves_one_version_or_the_other(sizes: tuple[int, int]) -> None:
    old, new = (noise(size, size) for size in sizes)
    for crash_after in range(12):
        outbox = Outbox()
        await PieceTable(outbox, Table()).write(0, {NAME: old})  # type: ignore[arg-type]
        outbox.until_crash = crash_after
        try:
            await PieceTable(outbox, outbox.recovered()).write(0, {NAME: new})  # type: ignore[arg-type]
        except Crash:
            found = PieceTable(outbox, outbox.recovered()).read(0, NAME)  # type: ignore[arg-type]
            assert found in (old, new)
            # What a crash left behind goes with the next version.
            outbox.until_crash = None
            table = outbox.recovered()
            for value in (new, b"last"):
                await PieceTable(outbox, table).write(0, {NAME: value})  # type: ignore[arg-type]
            if len(new) > 10:
                assert list(table.data.partitions[0]) == [NAME]
        else:
            assert PieceTable(outbox, outbox.recovered()).read(0, NAME) == new  # type: ignore[arg-type]
            return
    pytest.fail("a write has more records than this test knows")


async def test_what_is_damaged_or_incomplete_is_named() -> None:
    outbox, table = Outbox(), Table()
    pieces = PieceTable(outbox, table)  # type: ignore[arg-type]
    stored = table.data.partitions[0]
    for value in (b"short", b"a" * 5_000, noise(1_500_000)):
        await pieces.write(0, {NAME: value})
        for key, whole in list(stored.items()):
            for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b"\xff", b""):
                stored[key] = damaged
                if key == NAME and not damaged:
                    continue
                with pytest.raises(DamagedEntry, match="0/lane/1"):
                    pieces.read(0, NAME)
            stored[key] = whole
        assert pieces.read(0, NAME) == value
