"""What agents use of the app: what may be committed, and a group that may say that a partition is no longer ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from tocsin.agents.record_batches import RecordBatch
from tocsin.agents.transport import Committable


@dataclass
class Record:
    """A fetched record."""

    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int = 0
    timestamp_type: int = 0
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass
class Reader:
    """A consumer whose group counts everything as ours until told otherwise."""

    held: bool = True
    group_generation: int = 1
    positions: dict[TP, int] = field(default_factory=dict)
    ends: dict[TP, int] = field(default_factory=dict)
    commits: dict[TP, int] = field(default_factory=dict)

    async def still_holds(self, _: TP, generation: int) -> bool:
        """Whether a partition is ours."""
        return self.held and generation == self.group_generation

    async def position(self, tp: TP) -> int | None:
        """The next offset to fetch."""
        return self.positions.get(tp)

    def committed(self, tp: TP) -> int:
        """Up to where it is committed."""
        return self.commits.get(tp, 0)

    def highwater(self, tp: TP) -> int | None:
        """The offset after the last record, markers of transactions included."""
        return self.ends.get(tp)

    def assignment(self) -> set[TP]:
        """What is ours."""
        return set(self.positions)


class App:
    """What agents see of Faust's app."""

    def __init__(self) -> None:
        self.committable = Committable()
        self.consumer = self.reader = Reader()


@dataclass
class Rules:
    """A configuration log that was read to its end."""

    position: int = 1_000_000

    async def reach(self, position: int) -> None:
        """Wait for an offset."""
        self.position = max(self.position, position)

    async def catch_up(self) -> None:
        """Wait for the end."""


def batch(tp: TP, first: int, values: list[Any], keys: list[bytes] | None = None) -> RecordBatch:
    """Records of one fetched batch."""
    found = keys or [b"k"] * len(values)
    records = [Record(first + at, value, key) for at, (value, key) in enumerate(zip(values, found, strict=True))]
    return RecordBatch(tp.topic, tp.partition, first, records[-1].offset, records)
