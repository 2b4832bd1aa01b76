"""Series that were turned away because a limit was met: how many, since when, and whether that is still so.

Time is the log's clock, in rounds. What was turned away is tried again in each round; so series that are still there
are counted in each, and those that find room are watched.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from tocsin.engine.evaluate.distinct import Distinct

ROUND_MS: Final = 300_000
_QUIET_ROUNDS: Final = 3  # without any, until it is over
_HASH_BYTES: Final = slice(8, 16)  # the first eight choose the partition


@dataclass(slots=True)
class Refusals:
    """Of one limit. `since_ms` is None while nothing is turned away, `last` the count of the round before, `most` the
    largest of all. `waiting` are numbers of series that others watch, and for which there is no room here."""

    since_ms: int | None = None
    now: Distinct = field(default_factory=Distinct)
    last: int = 0
    most: int = 0
    quiet_rounds: int = 0
    waiting: set[int] = field(default_factory=set)

    def add(self, identity: bytes, clock_ms: int) -> None:
        """A series was turned away."""
        if self.since_ms is None:
            self.since_ms = clock_ms
        self.now.add(int.from_bytes(identity[_HASH_BYTES], "little"))

    @property
    def is_met(self) -> bool:
        """Whether series are turned away, or were not long ago."""
        return self.since_ms is not None

    def turn(self) -> None:
        """A round is over."""
        found, self.now = self.now.count(), Distinct()
        self.most, self.last = max(self.most, found), found or self.last
        self.quiet_rounds = 0 if found else self.quiet_rounds + 1
        if self.quiet_rounds >= _QUIET_ROUNDS:
            self.since_ms, self.last, self.quiet_rounds = None, 0, 0

    def pack(self) -> tuple[Any, ...]:
        """Plain values for a checkpoint."""
        counts = self.last, self.most, self.quiet_rounds
        return self.since_ms, self.now.hashes(), *counts, sorted(self.waiting)

    @classmethod
    def unpack(cls, packed: tuple[Any, ...]) -> "Refusals":
        """The inverse of `pack`."""
        since_ms, hashes, last, most, quiet_rounds, waiting = packed
        return cls(since_ms, Distinct(hashes), last, most, quiet_rounds, set(waiting))
