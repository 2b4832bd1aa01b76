"""Kafka as the stages see it: partitions of records, committed offsets, compaction, and writes that end in a crash.

A process dies only at a durable write: its fuse counts these, and the write at which it is burnt out never happens. It
stands still there too, and writes later what it was about to.
What was sent and not yet acknowledged may have reached the log or not, but in the order in which it was sent.
"""

from collections.abc import Generator, Iterable
from functools import lru_cache
from typing import Final

from tocsin.engine import frame
from tocsin.engine.frame import Frame, Tick
from tocsin.engine.memory_log import LogRecord, partition_of
from tocsin.engine.simulation.chance import Chance
from tocsin.schemas.codec import decode_mark
from tocsin.schemas.mark import Mark

Place = tuple[str, int]  # topic, partition
METRICS: Final = "metrics"
SAMPLES: Final = "samples"
SIGNALS: Final = "signals"
COMMANDS: Final = "commands"
ALERTS: Final = "alerts"
GROUPED: Final = "groups"
STATES: Final = "alert-state"
RULES: Final = "rules"
CHANNELS: Final = "channels"
ROUTES: Final = "routes"
SILENCES: Final = "silences"
MARKS: Final = "marks"
DECISIONS: Final = "decisions"
DELIVERIES: Final = "deliveries"
DEAD: Final = "dlq"
CHECKPOINTS: Final = "evaluate-checkpoint"
ALERT_TABLE: Final = "route-alerts"
TOLD_TABLE: Final = "route-notified"
INPUTS: Final = (METRICS, COMMANDS, RULES, ROUTES, SILENCES)
TABLES: Final = (CHECKPOINTS, ALERT_TABLE, TOLD_TABLE)
COMPACTED: Final = (STATES, RULES, CHANNELS, ROUTES, SILENCES, MARKS, *TABLES)


class Crashed(Exception):
    """The process that wrote is dead."""


class Violation(Exception):
    """An invariant does not hold: its name, and what was seen."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant, self.detail = invariant, detail


class Partition:
    """Records in order of offset; compaction leaves gaps. `end` is the offset of the next one, `image` what the last
    record of each key says."""

    __slots__ = ("end", "image", "records")

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        self.image: dict[bytes, bytes] = {}
        self.end = 0

    def read(self, offset: int, limit: int = 1_000_000) -> list[LogRecord]:
        """Records from an offset on."""
        if self.end == len(self.records):
            return self.records[offset : offset + limit]
        return [record for record in self.records if record.offset >= offset][:limit]

    def compact(self, keep_from: int, *, with_tombstones: bool = True) -> None:
        """Below an offset only the last record of each key stays; tombstones may go too."""
        last = {record.key: record for record in self.records}
        if with_tombstones:
            last = {key: record for key, record in last.items() if record.value is not None}
        self.records = [
            record for record in self.records if record.offset >= keep_from or last.get(record.key) is record
        ]


@lru_cache(maxsize=4_096)
def item_of(value: bytes) -> Frame | Tick:
    """A record of `samples`: it is frozen, and read by many."""
    return frame.decode(value)


class Broker:
    """The log. `clock_ms` stamps records; `owners` says which process may write for a changelog's partition.

    `generations` counts the rebalances of each group. `states` are all records that ever were on `alert-state`, each
    behind the number of its write, and `marks` those on `marks`, with their keys.
    """

    def __init__(self) -> None:
        self.partitions: dict[Place, Partition] = {}
        self.committed: dict[tuple[str, Place], int] = {}
        self.owners: dict[Place, int] = {}
        self.generations: dict[str, int] = {}
        self.states: list[tuple[int, bytes | None]] = []
        self.marks: list[tuple[int, str, Mark]] = []
        self.clock_ms = 0
        self.writes = 0

    def partition(self, topic: str, partition: int) -> Partition:
        """One partition, made when first asked for."""
        place = topic, partition
        found = self.partitions.get(place)
        if found is None:
            found = self.partitions[place] = Partition()
        return found

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> int:
        """Write a record; returns its offset."""
        found = self.partitions.get((topic, partition)) or self.partition(topic, partition)
        offset = found.end
        found.records.append(LogRecord(offset, key, value, self.clock_ms))
        found.end = offset + 1
        self.writes += 1
        if topic in TABLES:
            assert key is not None
            if value is None:
                found.image.pop(key, None)
            else:
                found.image[key] = value
        elif topic == STATES:
            self.states.append((self.writes, value))
        elif topic == MARKS:
            assert key is not None
            self.marks.append((self.writes, key.decode(), decode_mark(value)))
        return offset

    def of_topic(self, topic: str) -> list[tuple[int, Partition]]:
        """All partitions of a topic that hold anything, by number."""
        return sorted((place[1], found) for place, found in self.partitions.items() if place[0] == topic)

    def records(self, topic: str) -> Iterable[LogRecord]:
        """All records of a topic, partition by partition."""
        for _, found in self.of_topic(topic):
            yield from found.records

    def position(self, group: str, place: Place) -> int:
        """Where a group goes on reading."""
        return self.committed.get((group, place), 0)


_Pending = tuple[str, int, bytes | None, bytes | None]


class Standstill:
    """To be awaited where a process may be stopped: whoever drives it lets it go on when it likes."""

    def __await__(self) -> Generator[None]:
        yield


class Outbox:
    """What one process has sent and not yet seen acknowledged, and how many durable writes it has left to live, or to
    go on until it stands still."""

    def __init__(self, broker: Broker, owner: int, spread: int) -> None:
        self.broker, self.owner = broker, owner
        self._spread = spread
        self.pending: list[_Pending] = []
        self.fuse: int | None = None
        self.rest: int | None = None

    def burn(self) -> None:
        """One more durable step; raises Crashed if it does not take place."""
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise Crashed

    def send(self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None) -> None:
        """Queue one record."""
        if partition is None:
            partition = partition_of(key or b"", self._spread)
        self.pending.append((topic, partition, key, value))

    def acknowledged(self) -> None:
        """Wait until everything sent lies on the log."""
        if self.fuse is None:
            self._land_all()
        while self.pending:
            self.burn()
            self._land(self.pending.pop(0))

    async def arrived(self) -> None:
        """The same, of a process that may be stopped between any two records."""
        if self.fuse is None and self.rest is None:
            self._land_all()
        while self.pending:
            if self.rest is not None:
                await self.stop()
            self.burn()
            self._land(self.pending.pop(0))

    async def stop(self) -> None:
        """Stand still here, if it is time."""
        if self.rest is not None:
            self.rest -= 1
            if self.rest < 0:
                self.rest = None
                await Standstill()

    def _land_all(self) -> None:
        for record in self.pending:
            self._land(record)
        self.pending.clear()

    def _land(self, record: _Pending) -> None:
        topic, partition, key, value = record
        if topic == CHECKPOINTS and self.broker.owners[topic, partition] != self.owner:
            owner = self.broker.owners[topic, partition]
            raise Violation("one-writer", f"process {self.owner} wrote to {topic}/{partition}, which {owner} owns")
        self.broker.append(topic, partition, key, value)

    def die(self, chance: Chance) -> None:
        """The process is gone: of what was under way to each partition, the first few records still arrive."""
        cut: dict[Place, bool] = {}
        for record in self.pending:
            place = record[0], record[1]
            if not cut.get(place) and chance.happens(60):
                self._land(record)
            else:
                cut[place] = True
        self.pending.clear()

    def commit(self, group: str, place: Place, offset: int) -> None:
        """Commit the offset up to which a group has read a partition."""
        self.burn()
        self.broker.committed[group, place] = offset
