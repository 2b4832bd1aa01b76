"""A log in memory: topics of partitions of records, as Kafka keeps them, for tests, replays and simulations."""

from collections import defaultdict
from dataclasses import dataclass
from zlib import crc32


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record; `at_ms` is the time at which it was written."""

    offset: int
    key: bytes | None
    value: bytes | None
    at_ms: int


class MemoryLog:
    """Records by topic and partition; each reader keeps its own positions."""

    def __init__(self) -> None:
        self._records: defaultdict[tuple[str, int], list[LogRecord]] = defaultdict(list)

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, at_ms: int) -> int:
        """Write a record; returns its offset."""
        records = self._records[topic, partition]
        records.append(LogRecord(len(records), key, value, at_ms))
        return len(records) - 1

    def read(self, topic: str, partition: int, offset: int = 0, limit: int | None = None) -> list[LogRecord]:
        """Records from an offset on, at most `limit`."""
        return self._records[topic, partition][offset : None if limit is None else offset + limit]

    def end(self, topic: str, partition: int) -> int:
        """The offset after the last record."""
        return len(self._records[topic, partition])


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key: always the same one, and nothing more is promised."""
    return crc32(key) % partitions
