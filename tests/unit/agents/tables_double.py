"""A Faust table and an outbox in memory: what is acknowledged, and what a crash between two records leaves."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

CHANGELOG = "changelog"


class Crash(Exception):
    """The process ends here."""


@dataclass
class Store:
    """The local store of a table, by partition; `largest` is the longest value that the changelog ever got."""

    partitions: dict[int, dict[bytes, bytes]] = field(default_factory=lambda: defaultdict(dict))

    def _db_for_partition(self, partition: int) -> dict[bytes, bytes]:
        return self.partitions[partition]

    def apply_changelog_batch(self, events: Iterable[Any], *_: Any) -> None:
        """As Faust's: changelog records into the store."""
        for event in events:
            message = event.message
            if message.value is None:
                self.partitions[message.partition].pop(message.key, None)
            else:
                self.partitions[message.partition][message.key] = message.value


class Table:
    """What agents use of a Faust table."""

    def __init__(self) -> None:
        self.data = Store()
        self.changelog_topic = SimpleNamespace(get_topic_name=lambda: CHANGELOG)


class Outbox:
    """Keeps what is sent; after `until_crash` more records the process is gone."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes | None, bytes | None]] = []
        self.largest = 0
        self.until_crash: int | None = None
        self.changes: list[tuple[int, bytes, bytes | None]] = []

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[Any] | None = None,
    ) -> asyncio.Future[Any]:
        """Queue one record."""
        if self.until_crash is not None:
            if self.until_crash == 0:
                raise Crash
            self.until_crash -= 1
        if topic == CHANGELOG:
            assert key is not None
            assert partition is not None
            self.changes.append((partition, key, value))
            self.largest = max(self.largest, len(value or b""))
        else:
            self.records.append((topic, key, value))
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_result(SimpleNamespace(offset=len(self.changes)))
        return done

    async def acknowledged(self, sent: Iterable[asyncio.Future[Any]]) -> list[Any]:
        """Wait for all."""
        return [await one for one in sent]

    def recovered(self) -> Table:
        """The table that a new process makes of the changelog."""
        table = Table()
        for partition, key, value in self.changes:
            if value is None:
                table.data.partitions[partition].pop(key, None)
            else:
                table.data.partitions[partition][key] = value
        return table
