"""Several workers in one process: each reads partitions of its own at a speed of its own, and partitions change hands.

Nothing of this may show in what is said.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.engine import frame, partial
from tocsin.engine.combine import checkpoint as of_combine
from tocsin.engine.combine.step import step as combine
from tocsin.engine.evaluate import checkpoint as of_evaluate
from tocsin.engine.evaluate.checkpoint import HEADER
from tocsin.engine.evaluate.step import step as evaluate
from tocsin.engine.frame import SourceProgress, Tick
from tocsin.engine.ingest.interning import Interner
from tocsin.engine.pipeline import METRICS, Pipeline, Shape
from tocsin.schemas.rule import Rule


@dataclass(frozen=True)
class Crew:
    """How many workers there are, how many records one takes at a time at most, and what chance is drawn from."""

    workers: int = 1
    most: int = 3
    seed: int = 0


class Fleet(Pipeline):
    """A pipeline in which workers take turns at random, each with an interner and a tick for its own sources. Now and
    then a partition is given to another worker, which has only what its checkpoint holds."""

    def __init__(self, rules: Sequence[Rule], shape: Shape, crew: Crew) -> None:
        super().__init__(rules, (), shape)
        self._crew = crew
        self._chance = random.Random(crew.seed)
        self._interners = [Interner(shape.samples) for _ in range(crew.workers)]
        self._tables: dict[tuple[str, int], dict[str, bytes]] = {}

    def settle(self) -> None:
        """Everybody comes to the end of what there is."""
        while self._turns(1.0):
            continue

    def _run_tick(self, clock_ms: int) -> None:
        self._clock_ms = clock_ms
        for worker in self._chance.sample(range(self._crew.workers), self._crew.workers):
            self._interner = self._interners[worker]
            self._tick_of(worker, clock_ms)
            for source in range(worker, self._shape.sources, self._crew.workers):
                while self._ingest(source, clock_ms):
                    continue
            self._tick_of(worker, clock_ms)
        self._turns(0.5)

    def _tick_of(self, worker: int, clock_ms: int) -> None:
        sources = tuple(
            SourceProgress(METRICS, at, self._positions[at], self._highest[at], len(self._unread(at, clock_ms)))
            for at in range(worker, self._shape.sources, self._crew.workers)
        )
        value = frame.encode(Tick(clock_ms, self._book.end, sources, {METRICS: self._shape.sources}))
        for partition in range(self._shape.samples):
            self.log.append("samples", partition, None, value, clock_ms)

    def _turns(self, likely: float) -> bool:
        """Each partition is looked at, or not, in any order; returns whether there was something."""
        turns = [(topic, partition) for topic in ("samples", "partials") for partition in range(self._shape.samples)]
        self._chance.shuffle(turns)
        taken = [self._turn(*turn) for turn in turns if self._chance.random() < likely]
        return any(taken)

    def _turn(self, topic: str, partition: int) -> bool:
        state = (self._states if topic == "samples" else self._combining)[partition]
        most = self._chance.randint(1, self._crew.most)
        records = self.log.read(topic, partition, state.offset + 1)[:most]
        if not records:
            return False
        values = [record.value or b"" for record in records]
        if topic == "samples":
            items, end = [frame.decode(value) for value in values], records[-1].offset
            done = evaluate(self._states[partition], items, end, self._book, self._timing, self._shape.samples)
            self._tell(done.signals, done.partials)
        else:
            shares, end = [partial.decode(value) for value in values], records[-1].offset
            said = combine(self._combining[partition], shares, end, self._book, self._timing)
            self._tell(said.signals, said.partials)
        if self._crew.workers > 1 and self._chance.random() < 0.03:
            self._hand_over(topic, partition)
        return True

    def _hand_over(self, topic: str, partition: int) -> None:
        table = self._tables.setdefault((topic, partition), {})
        if topic == "samples":
            entries, header = of_evaluate.checkpoint(self._states[partition])
            table |= {**entries, HEADER: header}
            self._states[partition] = of_evaluate.restore(table.get, str(partition))
        else:
            entries, header = of_combine.checkpoint(self._combining[partition])
            table |= {**entries, HEADER: header}
            self._combining[partition] = of_combine.restore(table.get, partition)
