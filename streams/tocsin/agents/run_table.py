"""A table whose entries and the records sent because of them survive a crash together.

Kafka acknowledges a changelog record and an output one by one, so a crash can fall between them. Therefore a run is
first written down as a whole, entries and outputs (the journal); then its entries are written, its outputs sent, the
journal is emptied, and only then the run's offsets may be committed. After a crash a journal that is there is carried
out again, entries first: its outputs carry the same ids, and the inputs that come again, in whatever order the two
topics bring them, find themselves in the entries. Without a journal nothing of the run happened.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from tocsin.agents.outbox import Outbox
from tocsin.agents.pieces import DamagedEntry, PieceTable

_JOURNAL: Final = b"journal"
_ENTRY: Final = b"entry/"
_log = structlog.get_logger("tocsin.tables")


class Output(msgspec.Struct, array_like=True):
    """One record to send; its key says to which partition, unless it names one."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = []
    partition: int | None = None


class _Journal(msgspec.Struct, array_like=True):
    """One run: its name, the entries that it changes, and what it sends."""

    run: str
    entries: dict[str, bytes | None]
    outputs: list[Output]


class RunTable:
    """Entries of one Faust table by key, changed run by run. Runs of one partition must be under its `lock`."""

    def __init__(self, outbox: Outbox, table: Any) -> None:
        self._outbox = outbox
        self._pieces = PieceTable(outbox, table)
        self._locks: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._recovered: set[int] = set()

    def lock(self, partition: int) -> asyncio.Lock:
        """Runs of a partition come from several topics, one at a time."""
        return self._locks[partition]

    def get(self, partition: int, key: str) -> bytes | None:
        """An entry; a damaged one is named in the log, and counts as none."""
        try:
            return self._pieces.read(partition, _name(key))
        except DamagedEntry as error:
            _log.error("an entry is damaged; its key begins anew", partition=partition, key=key, error=str(error))
            return None

    def keys(self, partition: int) -> list[str]:
        """The keys of all entries of a partition."""
        found = (name for name in self._pieces.names(partition) if name.startswith(_ENTRY))
        return [name.removeprefix(_ENTRY).decode(errors="surrogatepass") for name in found]

    async def recover(self, partition: int) -> int:
        """Carry out what a crashed run was about to do; once for each assignment. Returns how many records it sent."""
        if partition in self._recovered:
            return 0
        sent = 0
        try:
            journal = self._pieces.read(partition, _JOURNAL)
            if journal is not None:
                run = msgspec.msgpack.decode(journal, type=_Journal)
                await self._carry_out(partition, run)
                sent = len(run.outputs)
        except (DamagedEntry, msgspec.DecodeError) as error:
            _log.error("a journal is damaged, and what it held is not sent", partition=partition, error=str(error))
            await self._pieces.write(partition, {_JOURNAL: None})
        self._recovered.add(partition)
        return sent

    async def finish(
        self, partition: int, run: str, entries: Mapping[str, bytes | None], outputs: Sequence[Output]
    ) -> None:
        """Store entries and send outputs; when this returns, both are on Kafka. `run` is a name no other run has."""
        if not entries and not outputs:
            return
        journal = _Journal(run, dict(entries), list(outputs))
        await self._pieces.write(partition, {_JOURNAL: msgspec.msgpack.encode(journal)})
        await self._carry_out(partition, journal)

    async def _carry_out(self, partition: int, run: _Journal) -> None:
        await self._pieces.write(partition, {_name(key): value for key, value in run.entries.items()})
        sent = [
            await self._outbox.send(one.topic, one.value, key=one.key, partition=one.partition, headers=one.headers)
            for one in run.outputs
        ]
        await self._outbox.acknowledged(sent)
        await self._pieces.write(partition, {_JOURNAL: None})

    def forget(self) -> None:
        """At a rebalance: another worker may have gone on with our partitions."""
        self._recovered.clear()


def _name(key: str) -> bytes:
    return _ENTRY + key.encode(errors="surrogatepass")
