"""kill -9 of one service after another, under load: nothing is lost, and nothing that was said is said otherwise.

TOCSIN_TEST_KILLS is how often each service is killed (2 unless set).
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest
from tests.faults.world import READY_S, SERVICES, said, world

from tocsin.testing import pause

KILLS = int(os.environ.get("TOCSIN_TEST_KILLS", "2"))


@pytest.mark.parametrize("victim", SERVICES)
async def test_kill_under_load_loses_nothing_and_invents_nothing(
    kafka: str, tmp_path: Path, topic_prefix: str, victim: str
) -> None:
    base_ms = int(time.time() * 1_000) - 600_000
    chance = random.Random(victim)
    done = asyncio.Event()
    async with world(kafka, tmp_path / "killed", topic_prefix, base_ms) as killed:
        playing = asyncio.create_task(killed.play(done, at_least=0))
        writing = asyncio.create_task(killed.write_rules(done))
        for _ in range(KILLS):
            await pause(chance.uniform(0.5, 4.0))
            await killed.services[victim].kill()
            await killed.services[victim].start(ready_s=READY_S)
        done.set()
        await playing
        taken = await writing
        undisturbed = await killed.undisturbed()
        after = await killed.settled(undisturbed)
        assert taken, "the API took no rule at all"
        assert taken <= await killed.known_rules()
        arrived = await killed.told()
    assert killed.services[victim].starts == KILLS + 1
    assert len(undisturbed) > 10
    assert said(after) == said(undisturbed)
    print(  # noqa: T201 - with -s, for the record
        f"{victim}: {KILLS} kills, {len(said(after))} events, {len(after) - len(said(after))} repeated on the topic, "
          f"{len(arrived)} notifications, {arrived.total() - len(arrived)} repeated")  # fmt: skip
