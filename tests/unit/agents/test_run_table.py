"""Entries and outputs of a run survive together: a crash at any record, the two input topics in either order, and an
owner that stood still at any record while others went on."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.unit.agents.tables_double import Crash, Outbox, Table

from tocsin.agents.run_table import Output, RunTable

ENTRIES = {"a": b"firing, transition 1", "b": b"x" * 3_000, "c": random.Random(0).randbytes(700_000)}
OUTPUTS = [
    Output("alerts", b"a", b"event 1", [("ce_id", b"1")]),
    Output("alerts", b"b", b"event 2"),
    Output("state", b"b", None),
]
RECORDS = [(output.topic, output.key, output.value) for output in OUTPUTS]


class Group:
    """Says who owns the partition."""

    def __init__(self) -> None:
        self.generation = 0

    async def reign(self, outbox: Outbox, faust_table: Table) -> RunTable:
        """A new owner's table; earlier ones are told, when they ask, that the partition is no longer theirs."""
        self.generation += 1
        mine = self.generation

        async def holds() -> bool:
            return mine == self.generation

        table: Any = RunTable(outbox, faust_table)  # type: ignore[arg-type]
        assert await table.recover(0, mine, holds)
        return table  # type: ignore[no-any-return]


async def test_a_run_that_was_written_down_is_carried_out_before_any_other_input() -> None:
    """Were the outputs sent without the entries, another input could come first and give its event the same id."""
    crash_after, half_done = 0, 0
    while True:
        outbox, group = Outbox(), Group()
        table = await group.reign(outbox, outbox.recovered())
        outbox.until_crash = crash_after
        try:
            await table.finish(0, "run", ENTRIES, OUTPUTS)
        except Crash:
            outbox.until_crash = None
            before = len(outbox.records)
            again = await group.reign(outbox, outbox.recovered())
            happened = again.get(0, "a") is not None
            assert [again.get(0, key) for key in ENTRIES] == (list(ENTRIES.values()) if happened else [None] * 3)
            assert set(outbox.records) == (set(RECORDS) if happened else set())
            half_done += len(outbox.records) - before
            sent = len(outbox.records)
            await group.reign(outbox, outbox.recovered())
            assert len(outbox.records) == sent, "a journal that was carried out is not carried out again"
        else:
            break
        crash_after += 1
    assert half_done > 0
    assert outbox.records == RECORDS


async def stand_still(outbox: Outbox, records: int) -> tuple[Group, RunTable]:
    """An owner in the middle of a run, so many records into it; its table is that of a process that goes on later."""
    group = Group()
    table = await group.reign(outbox, outbox.recovered())
    assert await table.finish(0, "before", {"a": b"0", "c": b"0"}, [Output("alerts", b"a", b"0")])
    outbox.until_stop = records
    return group, table


@pytest.mark.parametrize("successors", [1, 2])
async def test_what_an_owner_writes_that_stood_still_hides_nothing_and_says_nothing_new(successors: int) -> None:
    """At each record of a run the owner stops, others take over and go on, and then it goes on too."""
    for records in range(12):
        outbox = Outbox()
        group, zombie = await stand_still(outbox, records)

        async def others(outbox: Outbox = outbox, group: Group = group) -> None:
            for number in range(successors):
                table = await group.reign(outbox, outbox.recovered())
                # The inputs that were not committed come again; those that are in the entries do nothing.
                if table.get(0, "a") == b"0":
                    await table.finish(0, "run", {"a": b"1", "c": b"1"}, [Output("alerts", b"a", b"1 by another")])
                await table.finish(0, f"next {number}", {"a": b"%d" % (2 + number)}, [])

        outbox.while_stopped = others
        await zombie.finish(0, "run", {"a": b"1", "c": b"1"}, [Output("alerts", b"a", b"1")])
        stopped = outbox.until_stop is None
        if not stopped:
            break
        last = await group.reign(outbox, outbox.recovered())
        assert (last.get(0, "a"), last.get(0, "c")) == (b"%d" % (1 + successors), b"1")
        said = {value for _, _, value in outbox.records}
        assert said in ({b"0", b"1"}, {b"0", b"1 by another"}), "one event, in one wording"
    assert records > 4


async def test_what_was_removed_stays_so_whatever_an_owner_writes_that_stood_still() -> None:
    for records in range(1, 12):
        outbox = Outbox()
        group, zombie = await stand_still(outbox, records)

        async def others(outbox: Outbox = outbox, group: Group = group) -> None:
            table = await group.reign(outbox, outbox.recovered())
            await table.finish(0, "over", {"a": None, "c": None}, [])
            await table.finish(0, "again", {"c": b"2"}, [])

        outbox.while_stopped = others
        await zombie.finish(0, "run", {"a": b"1", "c": b"1"}, [Output("alerts", b"a", b"1")])
        if outbox.until_stop is not None:
            break
        for _ in range(3):
            last = await group.reign(outbox, outbox.recovered())
            assert (last.get(0, "a"), last.get(0, "c")) == (None, b"2")
            assert last.keys(0) == ["c"]
    assert records > 3


async def test_what_was_removed_leaves_few_marks_and_may_be_written_again() -> None:
    outbox, group = Outbox(), Group()
    faust_table = outbox.recovered()
    for reign in range(3):
        table = await group.reign(outbox, faust_table)
        await table.finish(0, f"new {reign}", {str(key): b"1" for key in range(700)}, [])
        await table.finish(0, f"over {reign}", {str(key): None for key in range(700)}, [])
    stored = faust_table.data.partitions[0]
    assert len([name for name in stored if name.startswith(b"gone/")]) == 1_000
    await table.finish(0, "anew", {"1": b"2"}, [])
    for _ in range(2):
        table = await group.reign(outbox, outbox.recovered())
        assert (table.keys(0), table.get(0, "1")) == (["1"], b"2")


async def test_the_store_of_an_owner_that_stood_still_is_read_on_from_where_others_wrote() -> None:
    outbox = Outbox()
    group, zombie = await stand_still(outbox, 0)
    store = zombie._table.data
    before = dict(store.offsets)

    async def other() -> None:
        table = await group.reign(outbox, outbox.recovered())
        await table.finish(0, "next", {"b": b"2"}, [])

    outbox.while_stopped = other
    assert not await zombie.finish(0, "run", {"a": b"1"}, [])
    assert store.offsets == before


async def test_reigns_go_on_when_the_group_begins_to_count_anew() -> None:
    outbox = Outbox()
    for generation in (7, 1, 2):
        group = Group()
        group.generation = generation - 1
        table = await group.reign(outbox, outbox.recovered())
        assert await table.finish(0, "run", {"a": b"%d" % generation}, [])
        assert (await Group().reign(outbox, outbox.recovered())).get(0, "a") == b"%d" % generation


async def test_a_worker_that_comes_back_under_its_name_and_generation_has_a_reign_of_its_own() -> None:
    for records in range(1, 8):
        outbox = Outbox()
        group, zombie = await stand_still(outbox, records)

        async def itself(outbox: Outbox = outbox, group: Group = group) -> None:
            table: Any = RunTable(outbox, outbox.recovered())  # type: ignore[arg-type]
            mine, group.generation = group.generation, -1  # the group knows it by another member's id now
            assert await table.recover(0, mine, held)
            await table.finish(0, "run", {"a": b"1", "c": b"1"}, [Output("alerts", b"a", b"1")])
            await table.finish(0, "next", {"a": b"2"}, [])

        outbox.while_stopped = itself
        await zombie.finish(0, "run", {"a": b"1", "c": b"1"}, [Output("alerts", b"a", b"1")])
        if outbox.until_stop is not None:
            break
        group.generation = 1
        last = await group.reign(outbox, outbox.recovered())
        assert (last.get(0, "a"), last.get(0, "c")) == (b"2", b"1")
    assert records > 3


async def held() -> bool:
    return True


async def test_after_a_rebalance_nothing_is_written_until_the_reign_begins_anew() -> None:
    outbox = Outbox()
    table = await Group().reign(outbox, outbox.recovered())
    table.forget()
    changes = len(outbox.changes)
    assert not await table.finish(0, "run", ENTRIES, OUTPUTS)
    assert len(outbox.changes) == changes


async def test_keys_of_which_one_begins_another_have_entries_of_their_own() -> None:
    outbox, keys = Outbox(), ("a", "a/", "a/b", "", "1/a", "ä")
    table = await Group().reign(outbox, outbox.recovered())
    await table.finish(0, "run", {key: key.encode() for key in keys}, [])
    again = await Group().reign(outbox, outbox.recovered())
    assert all(again.get(0, key) == key.encode() for key in keys)


async def test_a_damaged_entry_counts_as_none_and_others_stay() -> None:
    outbox = Outbox()
    faust_table = outbox.recovered()
    table = await Group().reign(outbox, faust_table)
    await table.finish(0, "run", {"a": b"one", "b": b"two"}, [])
    stored = faust_table.data.partitions[0]
    (name,) = (one for one in stored if one.startswith(b"entry/1/a/"))
    stored[name] = b"\xff\xff"
    assert (table.get(0, "a"), table.get(0, "b")) == (None, b"two")
    await table.finish(0, "next", {"a": b"anew"}, [])
    assert table.get(0, "a") == b"anew"


@pytest.mark.parametrize("content", [b"\xff", b"\x96\x05\x00\xc2\x00\x00\xc4\x05hello"])
async def test_a_damaged_journal_is_passed_over(content: bytes) -> None:
    outbox, group = Outbox(), Group()
    await group.reign(outbox, outbox.recovered())
    faust_table = outbox.recovered()
    stored = faust_table.data.partitions[0]
    (damaged,) = stored
    stored[damaged] = content
    await group.reign(outbox, faust_table)
    assert damaged not in stored
    assert outbox.records == []
