"""Evaluate workers come and go under load, with groups over all partitions: what is said does not tell how many."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.faults.world import READY_S, Shape, said, words, world

from tocsin.testing import pause

PARTITIONS = 4
SOME = Shape(PARTITIONS, ("evaluate", "route"), later=("evaluate-2", "evaluate-3"))
STRETCH_S = 5.0  # of load before and after each change


async def test_one_three_and_two_workers_say_the_same_as_one(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    base_ms = int(time.time() * 1_000) - 1_200_000
    done = asyncio.Event()
    async with world(kafka, tmp_path / "rescaled", topic_prefix, base_ms, SOME) as rescaled:
        workers = rescaled.services
        playing = asyncio.create_task(rescaled.play(done, at_least=0))
        await pause(STRETCH_S)
        await asyncio.gather(*(workers[name].start(ready_s=READY_S) for name in SOME.later))
        await pause(STRETCH_S)
        assert await workers["evaluate"].stop() == 0
        await pause(STRETCH_S)
        done.set()
        await playing
        undisturbed = await rescaled.undisturbed()
        after = await rescaled.settled(undisturbed)
    assert {event.rule_id for event in undisturbed} == {"now", "held", "mean", "shelf"}
    assert said(after) == said(undisturbed)
    assert words(after) == words(undisturbed)
    for name in SOME.later:
        assert "data loss" not in workers[name].log.read_text("utf-8")
