"""kill -9 at random moments over all processes, several of a service among them, also while one recovers.

TOCSIN_TEST_KILLS is how many kills there are in all (5 unless set); TOCSIN_TEST_SEED chooses victims and moments.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median

from tests.faults.world import READY_S, Shape, World, said, world

from tocsin.schemas.codec import decode
from tocsin.schemas.labels import series_id, series_key
from tocsin.schemas.signal import Signal
from tocsin.testing import collect, pause

KILLS = int(os.environ.get("TOCSIN_TEST_KILLS", "5"))
SEED = os.environ.get("TOCSIN_TEST_SEED", "1")
MIXED = Shape(processes=("evaluate", "evaluate-2", "route", "route-2", "deliver", "api"))
IN_RECOVERY = 0.15  # of the kills, hit one that has not yet recovered from the one before
PACE_S = 0.1  # between two steps, as long as a step: event time runs as fast as the wall clock
RULES_S = 0.5  # each is read by every process at its start


@dataclass
class Nemesis:
    """Kills and starts again. A service whose processes have not all recovered is hit only with IN_RECOVERY."""

    world: World
    chance: random.Random
    kills: list[tuple[float, str]] = field(default_factory=list)
    in_recovery: int = 0
    _starting: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def rage(self, kills: int) -> None:
        while len(self.kills) < kills:
            await pause(self.chance.uniform(0.5, 6.0))
            victim = self._victim()
            if victim is not None:
                await self._kill(victim)
        await asyncio.gather(*self._starting.values())

    def _victim(self) -> str | None:
        busy = [name for name, task in self._starting.items() if not task.done()]
        if busy and self.chance.random() < IN_RECOVERY:
            self.in_recovery += 1
            return self.chance.choice(busy)
        services = {self.world.services[name].name for name in busy}
        steady = [name for name, process in self.world.services.items() if process.name not in services]
        return self.chance.choice(steady) if steady else None

    async def _kill(self, victim: str) -> None:
        process = self.world.services[victim]
        self.kills.append((time.time(), process.name))
        await process.kill()
        before = self._starting.get(victim)
        if before is not None:
            with suppress(AssertionError):  # it was killed before it was ready
                await before
            await process.kill()  # if it was just about to begin
        self._starting[victim] = asyncio.create_task(process.start(ready_s=READY_S))


async def first_said(seen: World) -> dict[tuple[int, int | None], list[float]]:
    """When each signal was said first, by the way of its series: source partition, and partition of samples."""
    ways: dict[tuple[int, int | None], list[float]] = defaultdict(list)
    known: set[str] = set()
    for record in sorted(await collect(seen.kafka, seen.topics.signals, deadline_s=60), key=lambda one: one.timestamp):
        signal = decode(Signal, record.value)
        if signal.id not in known and signal.evidence.partition is not None:
            known.add(signal.id)
            labels = {name: signal.labels[name] for name in ("series", "shelf")}
            identity = series_id(series_key("load", labels))
            way = signal.evidence.partition, int.from_bytes(identity[:8], "little") % MIXED.partitions
            ways[way].append(record.timestamp / 1_000)
    return ways


def gaps(ways: dict[tuple[int, int | None], list[float]], kills: Sequence[tuple[float, str]]) -> list[float]:
    """The longest silence on any way after each kill of evaluate, up to the next one."""
    moments = [at for at, name in kills if name == "evaluate"]
    ends = [*moments[1:], float("inf")]
    found = []
    for begin, end in zip(moments, ends, strict=True):
        silences = [
            after - before
            for times in ways.values()
            for before, after in pairwise(times)
            if after > begin and before < min(end, begin + 30)
        ]
        found.append(max(silences, default=0.0))
    return found


async def test_kills_at_random_moments_over_all_processes_lose_nothing_and_invent_nothing(
    kafka: str, tmp_path: Path, topic_prefix: str
) -> None:
    base_ms = int(time.time() * 1_000) - 600_000
    done = asyncio.Event()
    async with world(kafka, tmp_path / "killed", topic_prefix, base_ms, MIXED) as killed:
        nemesis = Nemesis(killed, random.Random(SEED))
        playing = asyncio.create_task(killed.play(done, at_least=0, wall_s=PACE_S))
        writing = asyncio.create_task(killed.write_rules(done, wall_s=RULES_S))
        await nemesis.rage(KILLS)
        done.set()
        await playing
        taken = await writing
        undisturbed = await killed.undisturbed()
        after = await killed.settled(undisturbed)
        assert taken, "the API took no rule at all"
        assert taken <= await killed.known_rules()
        arrived = await killed.told()
        silences = gaps(await first_said(killed), nemesis.kills)
    assert len(undisturbed) > 10
    assert said(after) == said(undisturbed)
    print(  # noqa: T201 - with -s, for the record
        f"seed {SEED}: {len(nemesis.kills)} kills {dict(Counter(name for _, name in nemesis.kills))}, "
        f"{nemesis.in_recovery} of them while one recovered; {len(said(after))} events, "
        f"{len(after) - len(said(after))} repeated on the topic; {len(arrived)} notifications, "
        f"{arrived.total() - len(arrived)} repeated; silence after a kill of evaluate: "
        f"p50 {median(silences or [0]):.1f} s, max {max(silences, default=0):.1f} s "
        f"({sum(one <= 10 for one in silences)} of {len(silences)} at most 10 s)")  # fmt: skip
