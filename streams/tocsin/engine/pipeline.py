"""All steps in one process, on a log in memory and a simulated clock.

The very functions that the agents run, so what comes out here comes out there: for tests of rules, replays of history,
and simulations of faults.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from tocsin.engine import frame, partial
from tocsin.engine.combine.state import CombineState
from tocsin.engine.combine.step import step as combine
from tocsin.engine.evaluate.late import LateSample
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.series import Watch
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.evaluate.step import step as evaluate
from tocsin.engine.frame import Floats, Ints, SourceProgress, Tick
from tocsin.engine.ingest.codecs import CODECS
from tocsin.engine.ingest.framing import pack
from tocsin.engine.ingest.interning import Interner
from tocsin.engine.ingest.step import UNSEEN_MS, DeadLetter, Run
from tocsin.engine.ingest.step import step as ingest
from tocsin.engine.lifecycle.record import AlertRecord
from tocsin.engine.lifecycle.step import Input, NumberedCommand
from tocsin.engine.lifecycle.step import step as lifecycle
from tocsin.engine.memory_log import LogRecord, MemoryLog
from tocsin.engine.partial import Partial
from tocsin.engine.route.known import Known
from tocsin.engine.route.memory import MemoryRoute
from tocsin.engine.route.record import RouteRecord
from tocsin.engine.route.step import step as route
from tocsin.engine.standing import of_combine, of_evaluate
from tocsin.engine.wakes import Wakes
from tocsin.engine.watermark import EVERYTHING_MS, Timing
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode_document
from tocsin.schemas.command import Command
from tocsin.schemas.grouping import RouteTick
from tocsin.schemas.notification import Delivery, Notification
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal
from tocsin.schemas.topics import CHANNEL_TYPES

METRICS: Final = "metrics"
_SAMPLES: Final = "samples"
_PARTIALS: Final = "partials"
_DEFAULT_MAX_AHEAD_MS: Final = 600_000


@dataclass(frozen=True, slots=True)
class Shape:
    """How many partitions the metrics topic and the samples topic have, how many messages a run takes at most, and how
    often time is written to the log."""

    sources: int = 1
    samples: int = 1
    run: int = 1_000
    tick_ms: int = 1_000


class Pipeline:
    """Publish metrics and commands, and `run` at a time; what came of it is in the lists."""

    def __init__(
        self,
        rules: Iterable[Rule],
        channels: Iterable[Channel] = (),
        shape: Shape = Shape(),
        timing: Timing = Timing(),  # noqa: B008 - frozen
        max_ahead_ms: int = _DEFAULT_MAX_AHEAD_MS,
        known: Known | None = None,
    ) -> None:
        """With what is `known` of routes, alerts go through them too; else only to the channels that rules name."""
        self.log = MemoryLog()
        self.channels: dict[str, Channel] = {channel.id: channel for channel in channels}
        self.signals: list[Signal] = []
        self.events: list[AlertEvent] = []
        self.shadow_events: list[AlertEvent] = []
        self.notifications: list[Notification] = []
        self.unroutable: list[Delivery] = []
        self.dead: list[DeadLetter] = []
        self.late: list[LateSample] = []
        self.alerts: dict[str, AlertRecord] = {}
        self._shape, self._timing, self._max_ahead_ms = shape, timing, max_ahead_ms
        self._book = RuleBook()
        self._interner = Interner(shape.samples)
        self._positions = [0] * shape.sources
        self._highest = [UNSEEN_MS] * shape.sources
        self._states = [PartitionState(source=str(partition)) for partition in range(shape.samples)]
        self._combining = [CombineState(partition) for partition in range(shape.samples)]
        self._told: dict[str, RouteRecord] = {}
        self._route = MemoryRoute(known) if known else None
        self._wakes = Wakes()  # alerts that wait for a time
        self._commands = 0
        self._clock_ms: int | None = None
        for rule in rules:
            self.put_rule(rule)

    def put_rule(self, rule: Rule) -> None:
        """Write a rule; it is in force from the next run on."""
        self._book.append(self._book.end, rule.id.encode(), encode_document(rule))

    def delete_rule(self, rule_id: str) -> None:
        """Delete a rule."""
        self._book.append(self._book.end, rule_id.encode(), None)

    def publish(self, value: bytes, at_ms: int, key: bytes | None = None, partition: int = 0) -> None:
        """A producer writes a message at a time."""
        self.log.append(METRICS, partition, key, value, at_ms)

    def command(self, command: Command) -> None:
        """A person acts on an alert."""
        self._lifecycle([NumberedCommand(self._commands, command)])
        self._commands += 1

    def run(self, clock_ms: int) -> None:
        """Let time go on to `clock_ms`, tick by tick, and process what was published up to then."""
        began = self._clock_ms if self._clock_ms is not None else min(clock_ms, self._first_ms(clock_ms))
        for now_ms in range(began + self._shape.tick_ms, clock_ms, self._shape.tick_ms):
            self._run_tick(now_ms)
        self._run_tick(clock_ms)

    def take(self, interner: Interner, number: Ints, at_ms: Ints, values: Floats, clock_ms: int) -> None:
        """Judge samples that are known by number, in the order given, as if they came at this time. Nothing of them
        stays in the log."""
        offset = np.arange(self._positions[0], self._positions[0] + len(number))
        self._positions[0] += len(number)
        self._highest[0] = max(self._highest[0], min(int(at_ms.max()), clock_ms))
        for partition, made in pack(interner, (METRICS, 0), clock_ms, number, at_ms, values, offset).items():
            self.log.append(_SAMPLES, partition, None, frame.encode(made), clock_ms)
        self._judge()
        self._forget()

    def jump(self, clock_ms: int) -> None:
        """Let time go on to `clock_ms` at once; the timing's stride says how much of it counts as listened to."""
        self._run_tick(clock_ms)
        self._forget()

    def finish(self) -> None:
        """Nothing older comes any more: what waited for late samples is judged at the next jump."""
        for state in self._states:
            for flow in state.flows.values():
                for topic in flow.waiting:
                    flow.advance(topic, EVERYTHING_MS)

    @property
    def states(self) -> Sequence[PartitionState]:
        """Evaluate's state, by samples partition."""
        return self._states

    def watch(self, watch: Watch | None) -> None:
        """Tell of every value that is judged, those of groups too."""
        for series in (state.series for states in (self._states, self._combining) for state in states):
            series.watch = watch

    def _forget(self) -> None:
        for partition, state in enumerate(self._states):
            self.log.forget(_SAMPLES, partition, state.offset + 1)

    def _first_ms(self, clock_ms: int) -> int:
        heads = [self.log.read(METRICS, source, 0, 1) for source in range(self._shape.sources)]
        return min((head[0].at_ms for head in heads if head), default=clock_ms) - self._shape.tick_ms

    def _run_tick(self, clock_ms: int) -> None:
        self._clock_ms = clock_ms
        if self._wakes.is_due(clock_ms):
            self._lifecycle([RouteTick(clock_ms)])
        if self._states[0].plan.offset < self._book.end:
            self._tick(clock_ms)  # configuration first: no frame comes before the tick that names it
        for source in range(self._shape.sources):
            while self._ingest(source, clock_ms):
                continue
        self._tick(clock_ms)
        self._judge()
        if self._route is not None:
            self._mark(self._route)
            self._route.tick(clock_ms)
            self._hear(self._route)

    def _mark(self, route: MemoryRoute) -> None:
        """Say how far all partitions are."""
        standings = {f"evaluate/{at}": of_evaluate(state, self._timing) for at, state in enumerate(self._states)}
        standings |= {f"combine/{at}": of_combine(state) for at, state in enumerate(self._combining)}
        for name, one in standings.items():
            if one is not None:
                route.mark(name, one.mark(()))

    def _judge(self) -> None:
        for partition, state in enumerate(self._states):
            records = self.log.read(_SAMPLES, partition, state.offset + 1)
            if not records:
                continue
            items = [frame.decode(record.value or b"") for record in records]
            done = evaluate(state, items, records[-1].offset, self._book, self._timing, self._shape.samples)
            self.late += done.late
            self._tell(done.signals, done.partials)
        while any(self._combine(partition) for partition in range(self._shape.samples)):
            continue  # composites over groups: what combine says comes to it again

    def _combine(self, partition: int) -> bool:
        state = self._combining[partition]
        records = self.log.read(_PARTIALS, partition, state.offset + 1)
        if not records:
            return False
        shares = [partial.decode(record.value or b"") for record in records]
        done = combine(state, shares, records[-1].offset, self._book, self._timing)
        self._tell(done.signals, done.partials)
        return True

    def _tell(self, signals: Sequence[Signal], shares: Sequence[Partial]) -> None:
        self.signals += signals
        written_ms = max(self._clock_ms or 0, 0)
        self._lifecycle([msgspec.structs.replace(one, written_ms=written_ms) for one in signals])
        for item in shares:
            for partition, share in partial.spread(item, self._shape.samples).items():
                self.log.append(_PARTIALS, partition, None, partial.encode(share), self._clock_ms or 0)

    def _ingest(self, source: int, clock_ms: int) -> bool:
        records = self._unread(source, clock_ms)
        if not records:
            return False
        run = Run.of(METRICS, source, records)
        done = ingest(self._interner, run, CODECS["json"], clock_ms, self._max_ahead_ms)
        for partition, frames in done.frames.items():
            for made in frames:
                self.log.append(_SAMPLES, partition, None, frame.encode(made), clock_ms)
        self.dead += done.dead
        self._positions[source] = records[-1].offset + 1
        self._highest[source] = max(self._highest[source], done.highest_ms)
        return True

    def _unread(self, source: int, clock_ms: int) -> list[LogRecord]:
        """The next run of a partition: what was published by now."""
        records = self.log.read(METRICS, source, self._positions[source], self._shape.run)
        return [record for record in records if record.at_ms <= clock_ms]

    def _tick(self, clock_ms: int) -> None:
        sources = tuple(
            SourceProgress(METRICS, source, position, highest, len(self._unread(source, clock_ms)))
            for source, (position, highest) in enumerate(zip(self._positions, self._highest, strict=True))
        )
        counts: Mapping[str, int] = {METRICS: self._shape.sources}
        value = frame.encode(Tick(clock_ms, self._book.end, sources, dict(counts)))
        for partition in range(self._shape.samples):
            self.log.append(_SAMPLES, partition, None, value, clock_ms)

    def _lifecycle(self, inputs: Iterable[Input]) -> None:
        changes = lifecycle(inputs, self.alerts.get, self._book.rule_at, self._wakes.due)
        assert not changes.failed, changes.failed
        self.alerts |= changes.records
        self._wakes.update({name: record.wake_ms for name, record in changes.records.items()})
        self.events += changes.events
        self.shadow_events += changes.shadows
        if self._route is not None:
            self._route.take(changes.events, self._clock_ms or 0)
            self._hear(self._route)
            return
        told = route(changes.events, self._told.get, self.channels, CHANNEL_TYPES)
        self._told |= told.records
        self.notifications += told.notifications
        self.unroutable += told.unroutable

    def _hear(self, said: MemoryRoute) -> None:
        self.notifications += said.notifications
        self.unroutable += said.unroutable
        commands = list(said.commands)
        for told in (said.notifications, said.unroutable, said.commands):
            told.clear()
        for command in commands:
            self.command(command)
