"""A log in memory: topics of partitions of records, as Kafka keeps them, for tests, replays and simulations."""

from collections import defaultdict
from typing import NamedTuple
from zlib import crc32


class LogRecord(NamedTuple):
    """One record; `at_ms` is the time at which it was written."""

    offset: int
    key: bytes | None
    value: bytes | None
    at_ms: int


class MemoryLog:
    """Records by topic and partition; each reader keeps its own positions."""

    def __init__(self) -> None:
        self._records: defaultdict[tuple[str, int], list[LogRecord]] = defaultdict(list)
        self._begin: defaultdict[tuple[str, int], int] = defaultdict(int)

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, at_ms: int) -> int:
        """Write a record; returns its offset."""
        offset = self.end(topic, partition)
        self._records[topic, partition].append(LogRecord(offset, key, value, at_ms))
        return offset

    def read(self, topic: str, partition: int, offset: int = 0, limit: int | None = None) -> list[LogRecord]:
        """Records from an offset on that are still there, at most `limit`."""
        first = max(offset - self._begin[topic, partition], 0)
        return self._records[topic, partition][first : None if limit is None else first + limit]

    def end(self, topic: str, partition: int) -> int:
        """The offset after the last record."""
        return self._begin[topic, partition] + len(self._records[topic, partition])

    def forget(self, topic: str, partition: int, offset: int) -> None:
        """Drop the records below an offset, so that a long replay needs no more memory than a short one."""
        gone = max(offset - self._begin[topic, partition], 0)
        del self._records[topic, partition][:gone]
        self._begin[topic, partition] += gone


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key: always the same one, and nothing more is promised."""
    return crc32(key) % partitions
