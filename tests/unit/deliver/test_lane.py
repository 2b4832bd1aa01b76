"""A channel's rest: what its receiver says last is in force."""

from __future__ import annotations

import asyncio

from tocsin.deliver.lane import Job, Lane
from tocsin.deliver.policy import Retry
from tocsin.deliver.protocol import Transient
from tocsin.testing.virtual_time import run_virtually, virtual_ms

RETRY = Retry(attempts=30, initial_ms=1_000, max_ms=300_000, within_ms=3_600_000)


async def _unused(job: Job, lane: Lane) -> None:
    raise AssertionError((job, lane))


def asked_for(seconds: float) -> Transient:
    return Transient("HTTP 429", retry_after_s=seconds)


def test_a_rest_that_an_answer_ended_does_not_lengthen_the_next_one() -> None:
    """Two are sent at once: one is told to wait for an hour, the other is taken."""

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            lane = Lane(_unused, tasks.create_task, virtual_ms)
            for seconds in (3_600.0, 30.0):
                lane.failed(RETRY, 0.5, asked_for(seconds))
                await asyncio.sleep(0)
                lane.answered()
            lane.failed(RETRY, 0.5, asked_for(7.0))
            assert await lane.slots.acquire(0)
            assert 7.0 <= asyncio.get_running_loop().time() < 7.1
        assert asyncio.get_running_loop().time() < 7.1, "nothing sleeps on"

    run_virtually(main())


def test_a_receiver_that_asks_for_no_rest_and_fails_time_and_again_gets_one() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            lane = Lane(_unused, tasks.create_task, virtual_ms)
            for _ in range(12):
                lane.failed(RETRY, 0.0, asked_for(0.0))
            assert await lane.slots.acquire(0)
            assert asyncio.get_running_loop().time() >= 15.0

    run_virtually(main())
