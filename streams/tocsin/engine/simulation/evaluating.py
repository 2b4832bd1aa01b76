"""A process of the evaluate service: ingest and evaluate, in the order of writes that the agents keep.

Frames are acknowledged before a source offset may be committed; signals before the entries of a checkpoint, these
before its header, and that before the samples offset may be committed.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from tocsin.engine import frame
from tocsin.engine.evaluate.checkpoint import HEADER, checkpoint, restore
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.evaluate.step import step as evaluate
from tocsin.engine.frame import Frame, SourceProgress, Tick
from tocsin.engine.ingest.codecs import CODECS
from tocsin.engine.ingest.interning import Interner
from tocsin.engine.ingest.step import UNSEEN_MS, DeadLetter, Run
from tocsin.engine.ingest.step import step as ingest
from tocsin.engine.simulation.broker import (
    CHECKPOINTS,
    DEAD,
    MARKS,
    METRICS,
    RULES,
    SAMPLES,
    SIGNALS,
    Broker,
    Outbox,
    Place,
    item_of,
)
from tocsin.engine.simulation.scenario import Scenario
from tocsin.engine.simulation.table import Table
from tocsin.engine.standing import of_evaluate
from tocsin.schemas.codec import encode
from tocsin.schemas.mark import mark_key

GROUP: Final = "evaluate"


class BuriedSample(msgspec.Struct, array_like=True, frozen=True):
    """A dead letter of ingest: where it lay, and why."""

    partition: int
    offset: int
    reason: str


class EvaluateProcess:
    """Ingest and evaluate over the partitions of `sources` and `samples` that are ours."""

    group = GROUP

    def __init__(self, number: int, broker: Broker, scenario: Scenario) -> None:
        self.number, self.broker, self.scenario = number, broker, scenario
        self.outbox = Outbox(broker, number, scenario.partitions)
        self.table = Table(self.outbox, CHECKPOINTS)
        self.interner = Interner(scenario.partitions)
        self.book = RuleBook()
        self.sources: list[int] = []
        self.samples: list[int] = []
        self.progress: dict[int, list[int]] = {}  # source -> [position, highest event time]
        self.stood: set[int] = set()
        self.states: dict[int, PartitionState] = {}
        self.positions: dict[int, int] = {}
        self.saved: dict[int, int] = {}
        self.committable: dict[Place, int] = {}
        self.has_ticked = False
        self.on_replayed: Callable[[int, PartitionState], None] = lambda _partition, _state: None
        self.replay_to: dict[int, int] = {}

    def assign(self, sources: Sequence[int], samples: Sequence[int]) -> None:
        """Partitions are ours from here on, whatever was before."""
        self.progress.clear()
        self.stood.clear()
        self.states.clear()
        self.positions.clear()
        self.committable.clear()
        self.table.forget()
        self.sources, self.samples = list(sources), list(samples)

    def follow(self) -> None:
        """Read what is new on `rules`."""
        for record in self.broker.partition(RULES, 0).read(self.book.end):
            assert record.key is not None
            self.book.append(record.offset, record.key, record.value)

    def backlog(self) -> list[tuple[str, int]]:
        """Partitions with something to take."""
        found: list[tuple[str, int]] = []
        if self.has_ticked:
            found += [(METRICS, at) for at in self.sources if self._next(at) < self.broker.partition(METRICS, at).end]
        return found + [(SAMPLES, at) for at in self.samples if self._position(at) < self._end(at)]

    def _end(self, partition: int) -> int:
        return self.broker.partition(SAMPLES, partition).end

    def _next(self, source: int) -> int:
        known = self.progress.get(source)
        return known[0] if known else self.broker.position(GROUP, (METRICS, source))

    def _position(self, partition: int) -> int:
        return self.positions.get(partition, self.broker.position(GROUP, (SAMPLES, partition)))

    def take(self, topic: str, partition: int, limit: int) -> None:
        """Take at most so many records of a partition."""
        if topic == METRICS:
            self._ingest(partition, limit)
        else:
            self._evaluate(partition, limit)

    def _ingest(self, source: int, limit: int) -> None:
        progress = self.progress.setdefault(source, [self._next(source), UNSEEN_MS])
        records = self.broker.partition(METRICS, source).read(progress[0], limit)
        run = Run.of(METRICS, source, records)
        clock_ms = self.broker.clock_ms + self.scenario.clock_error_ms
        done = ingest(self.interner, run, CODECS["json"], clock_ms, self.scenario.max_ahead_ms)
        for partition, frames in done.frames.items():
            for made in frames:
                self.outbox.send(SAMPLES, None, frame.encode(made), partition)
        for dead in done.dead:
            self._bury(dead)
        progress[0] = records[-1].offset + 1
        progress[1] = max(progress[1], done.highest_ms)

    def _bury(self, dead: DeadLetter) -> None:
        value = msgspec.msgpack.encode(BuriedSample(dead.partition, dead.offset, dead.reject.reason))
        self.outbox.send(DEAD, None, value, 0)

    def settle(self) -> None:
        """Wait for the frames under way, and let their source offsets be committed."""
        self.outbox.acknowledged()
        for source, (position, _) in self.progress.items():
            self.committable[METRICS, source] = position

    def tick(self) -> None:
        """Tell every samples partition the time, and how far we have read."""
        self.settle()
        sources = tuple(self._told(source) for source in self.sources)
        clock_ms = self.broker.clock_ms + self.scenario.clock_error_ms
        value = frame.encode(Tick(clock_ms, self.book.end, sources, {METRICS: self.scenario.sources}))
        for partition in range(self.scenario.partitions):
            self.outbox.send(SAMPLES, None, value, partition)
        self.has_ticked = True

    def _told(self, source: int) -> SourceProgress:
        known = self.progress.get(source)
        end = self.broker.partition(METRICS, source).end
        if known is None:
            if source not in self.stood:  # a run may be on its way
                self.stood.add(source)
                return SourceProgress(METRICS, source, -1, UNSEEN_MS, 1)
            known = [self._next(source), UNSEEN_MS]
        return SourceProgress(METRICS, source, known[0], known[1], end - known[0])

    def _restored(self, partition: int) -> PartitionState:
        store = self.table.store(partition)
        state = restore(lambda name: store.get(name.encode()))
        self.saved[partition] = state.offset
        return state

    def _evaluate(self, partition: int, limit: int) -> None:
        state = self.states.get(partition)
        if state is None:
            state = self.states[partition] = self._restored(partition)
        begin = self._position(partition)
        replay_to = self.replay_to.get(partition, -1)
        if begin <= replay_to:
            limit = min(limit, replay_to - begin + 1)
        records = self.broker.partition(SAMPLES, partition).read(begin, limit)
        items = [item_of(record.value or b"") for record in records if record.offset > state.offset]
        end = max(state.offset, records[-1].offset)
        if items:
            self._step(state, items, end)
        self.positions[partition] = records[-1].offset + 1
        if records[-1].offset == replay_to:
            del self.replay_to[partition]
            self.on_replayed(partition, state)

    def _step(self, state: PartitionState, items: list[Frame | Tick], end: int) -> None:
        wanted = max((item.rules_offset for item in items if isinstance(item, Tick)), default=0)
        if wanted > self.book.end:
            self.follow()
            self.book.end = max(self.book.end, wanted)
        done = evaluate(state, items, end, self.book, self.scenario.timing, self.scenario.partitions)
        for signal in done.signals:
            self.outbox.send(SIGNALS, signal.fingerprint.encode(), encode(signal))

    def mark(self) -> None:
        """Say how far each partition is, once everything that it said is on the log."""
        self.outbox.acknowledged()
        ends = tuple(self.broker.partition(SIGNALS, at).end for at in range(self.scenario.partitions))
        for partition, state in self.states.items():
            at = of_evaluate(state, self.scenario.timing)
            if at is not None:
                self.outbox.send(MARKS, mark_key("evaluate", partition), encode(at.mark(ends)), 0)
        self.outbox.acknowledged()

    def save(self, partition: int) -> None:
        """Checkpoint a partition, then let its offset be committed."""
        state = self.states.get(partition)
        if state is None or self.saved[partition] == state.offset:
            return
        entries, header = checkpoint(state)
        self.outbox.acknowledged()
        self.table.put(partition, {name.encode(): value for name, value in entries.items()})
        self.table.put(partition, {HEADER.encode(): header})
        self.saved[partition] = state.offset
        self.committable[SAMPLES, partition] = state.offset + 1

    def commit(self) -> None:
        """Commit what may be committed."""
        committable, self.committable = self.committable, {}
        for place, offset in committable.items():
            self.outbox.commit(GROUP, place, offset)
