"""The combine stage on Kafka: shares of groups of `partials` in, signals out, and composites' members back to it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tocsin.agents.evaluate import partial_outputs, signal_outputs
from tocsin.agents.run_table import Output
from tocsin.agents.stage import Stage, warn_of
from tocsin.engine import partial
from tocsin.engine.combine.checkpoint import checkpoint, restore
from tocsin.engine.combine.state import CombineState
from tocsin.engine.combine.step import step
from tocsin.engine.evaluate.copies import Get
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.partial import Partial, Progress
from tocsin.engine.standing import Standing, of_combine
from tocsin.engine.watermark import Timing
from tocsin.schemas.topics import Topics


@dataclass(frozen=True, slots=True)
class CombineStage(Stage[Partial, CombineState]):
    """One partition of `partials` at a time, of `partitions`."""

    name = "combine"
    topics: Topics
    partitions: int
    timing: Timing

    def decode(self, value: bytes) -> Partial:
        """See Stage."""
        return partial.decode(value)

    def rules_wanted(self, items: Sequence[Partial]) -> int:
        """See Stage."""
        return max((item.rules_offset for item in items if isinstance(item, Progress)), default=0)

    def begin(self, partition: int) -> CombineState:
        """See Stage."""
        return CombineState(partition)

    def behind_a_plan(self, items: Sequence[Partial]) -> Sequence[Partial]:
        """See Stage: shares that nobody waits for are dropped, so nothing is held back."""
        return items

    def position(self, state: CombineState) -> int:
        """See Stage."""
        return state.offset + 1

    def has_plan(self, state: CombineState) -> bool:
        """See Stage."""
        return state.plan.offset >= 0

    def step(self, state: CombineState, items: Sequence[Partial], end: int, book: RuleBook) -> Iterator[Output]:
        """See Stage."""
        done = step(state, items, end, book, self.timing)
        yield from signal_outputs(self.topics, done.signals)
        yield from partial_outputs(self.topics, done.partials, self.partitions)

    def standing(self, state: CombineState) -> Standing | None:
        """See Stage."""
        return of_combine(state)

    def checkpoint(self, state: CombineState) -> tuple[dict[str, bytes], bytes]:
        """See Stage."""
        return checkpoint(state)

    def restore(self, get: Get, partition: int) -> CombineState:
        """See Stage."""
        state = restore(get, partition)
        warn_of(state.taken, partition)
        return state
