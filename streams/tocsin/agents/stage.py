"""What differs between the agents that keep columns: what their records are, and what a run of them comes to."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

import structlog

from tocsin.agents.run_table import Output
from tocsin.engine.evaluate.copies import Get
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.standing import Standing
from tocsin.schemas.mark import Stage as StageName

Item = TypeVar("Item")
State = TypeVar("State")
_log = structlog.get_logger("tocsin.evaluate")


class Stage(ABC, Generic[Item, State]):
    """One stage: from records of one partition to outputs and a state."""

    name: ClassVar[StageName]

    @abstractmethod
    def decode(self, value: bytes) -> Item:
        """Read a record; raises ValueError for one that is damaged."""

    @abstractmethod
    def rules_wanted(self, items: Sequence[Item]) -> int:
        """Up to which offset the rules must be known to apply these."""

    @abstractmethod
    def begin(self, partition: int) -> State:
        """The state before the first record."""

    @abstractmethod
    def behind_a_plan(self, items: Sequence[Item]) -> Sequence[Item]:
        """Records of a log that lost its beginning, so that rules are in force from the first one on; none while no
        record names any rules."""

    @abstractmethod
    def position(self, state: State) -> int:
        """The offset after the last record in a state."""

    @abstractmethod
    def has_plan(self, state: State) -> bool:
        """Whether any rules are in force."""

    @abstractmethod
    def step(self, state: State, items: Sequence[Item], end: int, book: RuleBook) -> Iterable[Output]:
        """Apply records, the last of which lies at `end`; what is to be sent, in order."""

    @abstractmethod
    def standing(self, state: State) -> Standing | None:
        """How far a state is."""

    @abstractmethod
    def checkpoint(self, state: State) -> tuple[dict[str, bytes], bytes]:
        """Entries to write, and the header to write after them."""

    @abstractmethod
    def restore(self, get: Get, partition: int) -> State:
        """The state of a checkpoint. Raises DamagedCheckpoint or NewerCheckpoint."""


def warn_of(taken: Mapping[str, str], partition: int) -> None:
    """Say which rules were taken out of a checkpoint, and why."""
    for rule_id, reason in taken.items():
        _log.warning(
            "a rule that was in force is refused by this version; it is taken out, and its alerts end",
            rule=f"{rule_id}: {reason}",
            partition=partition,
        )
