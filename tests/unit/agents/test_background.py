"""Tasks end when they are told to, also those that take a cancellation for something else."""

from __future__ import annotations

import asyncio

from tocsin.agents.background import ended


async def test_a_task_that_swallows_its_first_cancellation_ends_all_the_same() -> None:
    swallowed = asyncio.Event()

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if swallowed.is_set():
                    raise
                swallowed.set()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await ended(task)
    assert swallowed.is_set()
    assert task.cancelled()


async def test_what_a_task_ends_with_is_not_raised() -> None:
    async def failing() -> None:
        raise ValueError("gone")

    await ended(asyncio.create_task(failing()))
