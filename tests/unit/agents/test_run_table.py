"""Entries and outputs of a run survive together: a crash at any record, and the two input topics in either order."""

from __future__ import annotations

import random

import pytest
from tests.unit.agents.tables_double import Crash, Outbox

from tocsin.agents.run_table import Output, RunTable

ENTRIES = {"a": b"firing, transition 1", "b": b"x" * 3_000, "c": random.Random(0).randbytes(700_000)}
OUTPUTS = [
    Output("alerts", b"a", b"event 1", [("ce_id", b"1")]),
    Output("alerts", b"b", b"event 2"),
    Output("state", b"b", None),
]
RECORDS = [(output.topic, output.key, output.value) for output in OUTPUTS]


async def test_a_run_that_was_written_down_is_carried_out_before_any_other_input() -> None:
    """Were the outputs sent without the entries, another input could come first and give its event the same id."""
    crash_after, half_done = 0, 0
    while True:
        outbox = Outbox()
        outbox.until_crash = crash_after
        table = RunTable(outbox, outbox.recovered())  # type: ignore[arg-type]
        try:
            await table.finish(0, "run", ENTRIES, OUTPUTS)
        except Crash:
            outbox.until_crash = None
            again = RunTable(outbox, outbox.recovered())  # type: ignore[arg-type]
            sent = await again.recover(0)
            happened = again.get(0, "a") is not None
            assert [again.get(0, key) for key in ENTRIES] == (list(ENTRIES.values()) if happened else [None] * 3)
            assert set(outbox.records) == (set(RECORDS) if happened else set())
            half_done += sent
            assert await RunTable(outbox, outbox.recovered()).recover(0) == 0  # type: ignore[arg-type]
        else:
            break
        crash_after += 1
    assert half_done > 0
    assert outbox.records == RECORDS


async def test_a_damaged_entry_counts_as_none_and_others_stay() -> None:
    outbox = Outbox()
    faust_table = outbox.recovered()
    table = RunTable(outbox, faust_table)  # type: ignore[arg-type]
    await table.finish(0, "run", {"a": b"one", "b": b"two"}, [])
    stored = faust_table.data.partitions[0]
    stored[b"entry/a"] = b"\xff\xff"
    assert (table.get(0, "a"), table.get(0, "b")) == (None, b"two")
    await table.finish(0, "next", {"a": b"anew"}, [])
    assert table.get(0, "a") == b"anew"


@pytest.mark.parametrize("content", [b"\xff", b"\x96\x05\x00\xc2\x00\x00\xc4\x05hello"])
async def test_a_damaged_journal_is_passed_over(content: bytes) -> None:
    outbox = Outbox()
    faust_table = outbox.recovered()
    faust_table.data.partitions[0][b"journal"] = content
    assert await RunTable(outbox, faust_table).recover(0) == 0  # type: ignore[arg-type]
    assert b"journal" not in faust_table.data.partitions[0]
