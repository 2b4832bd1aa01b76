"""The evaluate stage on Kafka: frames and ticks of `samples` in; signals, shares of groups and late samples out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tocsin.agents.run_table import Output
from tocsin.agents.stage import Stage, warn_of
from tocsin.engine import frame, partial
from tocsin.engine.evaluate.checkpoint import checkpoint, restore
from tocsin.engine.evaluate.copies import Get
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.evaluate.step import step
from tocsin.engine.frame import Frame, Tick
from tocsin.engine.partial import Partial
from tocsin.engine.standing import Standing, of_evaluate
from tocsin.engine.watermark import Timing
from tocsin.schemas.codec import encode
from tocsin.schemas.signal import Signal
from tocsin.schemas.topics import Topics


@dataclass(frozen=True, slots=True)
class EvaluateStage(Stage[Frame | Tick, PartitionState]):
    """One samples partition at a time, of `partitions`."""

    name = "evaluate"
    topics: Topics
    partitions: int
    timing: Timing
    most_series: int

    def decode(self, value: bytes) -> Frame | Tick:
        """See Stage."""
        return frame.decode(value)

    def rules_wanted(self, items: Sequence[Frame | Tick]) -> int:
        """See Stage."""
        return max((item.rules_offset for item in items if isinstance(item, Tick)), default=0)

    def begin(self, partition: int) -> PartitionState:
        """See Stage."""
        return PartitionState(source=str(partition), most_series=self.most_series)

    def behind_a_plan(self, items: Sequence[Frame | Tick]) -> Sequence[Frame | Tick]:
        """See Stage: the first tick names the rules, and what came before it is judged by them too."""
        tick = next((item for item in items if isinstance(item, Tick)), None)
        if tick is None or items[0] is tick:
            return items if tick else ()
        return [Tick(items[0].clock_ms, tick.rules_offset, (), {}), *items]

    def position(self, state: PartitionState) -> int:
        """See Stage."""
        return state.offset + 1

    def has_plan(self, state: PartitionState) -> bool:
        """See Stage."""
        return state.plan.offset >= 0

    def step(self, state: PartitionState, items: Sequence[Frame | Tick], end: int, book: RuleBook) -> Iterator[Output]:
        """See Stage."""
        done = step(state, items, end, book, self.timing, self.partitions)
        yield from signal_outputs(self.topics, done.signals)
        yield from partial_outputs(self.topics, done.partials, self.partitions)
        for late in done.late:
            yield Output(self.topics.late, late.key, late.encode())
        for one in done.shadows:
            yield Output(self.topics.shadow_progress, f"{one.rule_id}/{one.partition}".encode(), encode(one))

    def standing(self, state: PartitionState) -> Standing | None:
        """See Stage."""
        return of_evaluate(state, self.timing)

    def checkpoint(self, state: PartitionState) -> tuple[dict[str, bytes], bytes]:
        """See Stage."""
        return checkpoint(state)

    def restore(self, get: Get, partition: int) -> PartitionState:
        """See Stage."""
        state = restore(get, str(partition))
        state.most_series = self.most_series
        warn_of(state.taken, partition)
        return state


def signal_outputs(topics: Topics, signals: Sequence[Signal]) -> Iterator[Output]:
    """Signals, each to the partition of its alert."""
    for signal in signals:
        yield Output(topics.signals, signal.fingerprint.encode(), encode(signal))


def partial_outputs(topics: Topics, partials: Sequence[Partial], partitions: int) -> Iterator[Output]:
    """Shares, each to the partition of its group."""
    for item in partials:
        for partition, share in partial.spread(item, partitions).items():
            yield Output(topics.partials, None, partial.encode(share), partition=partition)
