"""A Faust table and an outbox in memory: what is acknowledged, and what a crash between two records leaves."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from tocsin.agents.outbox import Parcel
from tocsin.engine.run_table import Output

CHANGELOG = "changelog"


class Crash(Exception):
    """The process ends here."""


class Db(dict[bytes, bytes]):
    """One partition of a local store, as far as agents use RocksDB."""

    def iter(self) -> Cursor:
        """A cursor over the keys in order."""
        return Cursor(self)


class Cursor:
    """Goes through keys in order from where it was set."""

    def __init__(self, db: Db) -> None:
        self._db, self._left = db, list[bytes]()

    def seek(self, key: bytes) -> None:
        """To the first key that is not before this one."""
        self._left = sorted((one for one in self._db if one >= key), reverse=True)

    def valid(self) -> bool:
        """Whether it is on a key."""
        return bool(self._left)

    def key(self) -> bytes:
        """Where it is."""
        return self._left[-1]

    def next(self) -> None:
        """On to the next."""
        self._left.pop()


@dataclass
class Store:
    """The local store of a table, by partition; `largest` is the longest value that the changelog ever got."""

    partitions: dict[int, Db] = field(default_factory=lambda: defaultdict(Db))
    offsets: dict[TP, int] = field(default_factory=dict)

    def _db_for_partition(self, partition: int) -> Db:
        return self.partitions[partition]

    def persisted_offset(self, tp: TP) -> int | None:
        """As Faust's: up to where the store holds the changelog."""
        return self.offsets.get(tp)

    def apply_changelog_batch(self, events: Iterable[Any], *_: Any) -> None:
        """As Faust's: changelog records into the store."""
        for event in events:
            message = event.message
            self.offsets[message.tp] = message.offset
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
    """Keeps what is sent; after `until_crash` more records the process is gone.

    After `until_stop` more records it stands still, and `while_stopped` is what others do until it goes on.
    """

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes | None, bytes | None]] = []
        self.largest = 0
        self.until_crash: int | None = None
        self.until_stop: int | None = None
        self.while_stopped: Callable[[], Awaitable[None]] | None = None
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
        if self.until_stop is not None:
            self.until_stop -= 1
            if self.until_stop < 0:
                self.until_stop = None
                assert self.while_stopped is not None
                await self.while_stopped()
        if topic == CHANGELOG:
            assert key is not None
            assert partition is not None
            self.changes.append((partition, key, value))
            self.largest = max(self.largest, len(value or b""))
        else:
            self.records.append((topic, key, value))
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_result(SimpleNamespace(offset=len(self.changes) - 1))
        return done

    async def post(self, outputs: Sequence[Output]) -> list[Parcel]:
        """Queue records, one after the other: a crash may come between any two."""
        return [Parcel(await self.send(one.topic, one.value, one.key, one.partition), 1) for one in outputs]

    async def acknowledged(self, sent: Iterable[asyncio.Future[Any]]) -> list[Any]:
        """Wait for all."""
        return [await one for one in sent]

    def recovered(self) -> Table:
        """The table that a new process makes of the changelog."""
        table = Table()
        for offset, (partition, key, value) in enumerate(self.changes):
            table.data.offsets[TP(CHANGELOG, partition)] = offset
            if value is None:
                table.data.partitions[partition].pop(key, None)
            else:
                table.data.partitions[partition][key] = value
        return table
