"""What may be committed: everything before the first unsettled offset, whatever the order of settling."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from tocsin.deliver.lane import Slots
from tocsin.deliver.offsets import OffsetLedger


@given(st.lists(st.integers(1, 3), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_the_committable_offset_is_the_first_unsettled_one(gaps: list[int], order: random.Random) -> None:
    ledger, offset, offsets = OffsetLedger(), 0, []
    assert OffsetLedger().committable is None
    for gap in gaps:  # offsets of a real topic have gaps
        offset += gap
        offsets.append(offset)
        assert ledger.begin(offset)
        assert not ledger.begin(offset)
    waiting = list(offsets)
    order.shuffle(waiting)
    while waiting:
        ledger.finish(waiting.pop())
        assert ledger.committable == min(waiting, default=offsets[-1] + 1)
        assert ledger.pending == len(waiting)
    assert not ledger.begin(offsets[0])


async def test_slots_go_to_the_most_urgent_first_and_survive_cancelling() -> None:
    slots, served = Slots(1), list[str]()

    async def take(name: str, urgency: int) -> None:
        await slots.acquire(urgency)
        served.append(name)
        slots.release()

    await slots.acquire(0)
    tasks = [asyncio.create_task(take(*each)) for each in (("info", 3), ("gone", 0), ("critical", 0), ("warning", 2))]
    await asyncio.sleep(0)
    tasks[1].cancel()
    slots.release()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served == ["critical", "warning", "info"]
    await asyncio.wait_for(slots.acquire(0), 5)


async def test_while_no_slot_is_allowed_all_wait_and_then_as_many_go_as_are() -> None:
    slots, served = Slots(2), list[int]()

    async def take(number: int) -> None:
        if await slots.acquire(number):
            served.append(number)

    slots.allow(0)
    tasks = [asyncio.create_task(take(number)) for number in range(6)]
    await asyncio.sleep(0)
    assert served == []
    slots.allow(1)
    await asyncio.sleep(0)
    assert served == [0]
    slots.allow(3)
    await asyncio.sleep(0)
    assert served == [0, 1, 2]
    slots.allow(1)
    slots.release()
    slots.release()
    await asyncio.sleep(0)
    assert served == [0, 1, 2]
    slots.rouse()
    await asyncio.gather(*tasks)
    assert served == [0, 1, 2]
