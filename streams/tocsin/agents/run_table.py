"""A table whose entries and the records sent because of them survive a crash together.

Kafka acknowledges a changelog record and an output one by one, so a crash can fall between them. Therefore what a run
is about to send is written to the changelog first (the journal), then its entries, then the outputs are sent, then the
journal is emptied, and only then the run's offsets may be committed. After a crash the journal is sent again, with the
same ids; the inputs that come again find themselves in their entries. A journal without its entries does no harm: the
inputs come again, and so do their outputs.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final

import msgspec

from tocsin.agents import tables
from tocsin.agents.outbox import Outbox

_PIECE_BYTES: Final = 512 * 1024  # well below what a broker takes as one message
_JOURNAL: Final = b"\x00journal/%d"


class Output(msgspec.Struct, array_like=True):
    """One record to send."""

    topic: str
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]] = []


class _Piece(msgspec.Struct, array_like=True):
    """A part of a journal; `of` pieces with the same `run` make it whole."""

    run: str
    of: int
    outputs: list[Output]


class RunTable:
    """Entries of one Faust table by key, changed run by run. Runs of one partition must be under its `lock`."""

    def __init__(self, outbox: Outbox, table: Any) -> None:
        self._outbox = outbox
        self._table = table
        self._locks: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._recovered: set[int] = set()

    def lock(self, partition: int) -> asyncio.Lock:
        """Runs of a partition come from several topics, one at a time."""
        return self._locks[partition]

    def get(self, key: str) -> bytes | None:
        """An entry."""
        value: bytes | None = self._table.get(key.encode())
        return value or None

    async def recover(self, partition: int) -> int:
        """Send what a crashed run was about to send; once for each assignment. Returns how many records that were."""
        if partition in self._recovered:
            return 0
        outputs = self._journal()
        await self._send(outputs)
        await self._empty(partition)
        self._recovered.add(partition)
        return len(outputs)

    async def finish(
        self, partition: int, run: str, entries: Mapping[str, bytes | None], outputs: Sequence[Output]
    ) -> None:
        """Store entries and send outputs; when this returns, both are on Kafka. `run` is a name no other run has."""
        journal = {_JOURNAL % index: piece for index, piece in enumerate(_pieces(run, outputs))}
        stored = {key.encode(): value for key, value in entries.items()}
        await tables.write(self._outbox, self._table, partition, {**journal, **stored})
        await self._send(outputs)
        if journal:
            await tables.write(self._outbox, self._table, partition, dict.fromkeys(journal, None))

    def forget(self) -> None:
        """At a rebalance: another worker may have gone on with our partitions."""
        self._recovered.clear()

    def _journal(self) -> list[Output]:
        pieces: list[_Piece] = []
        for index in count():
            value = self._table.get(_JOURNAL % index)
            if not value:
                break
            pieces.append(msgspec.msgpack.decode(value, type=_Piece))
        whole = [piece for piece in pieces if piece.run == pieces[0].run]
        if not whole or len(whole) < whole[0].of:
            return []  # its entries were never written, so its inputs come again
        return [output for piece in whole for output in piece.outputs]

    async def _empty(self, partition: int) -> None:
        filled = [_JOURNAL % 0]
        while self._table.get(_JOURNAL % len(filled)):
            filled.append(_JOURNAL % len(filled))
        if self._table.get(filled[0]):
            await tables.write(self._outbox, self._table, partition, dict.fromkeys(filled, None))

    async def _send(self, outputs: Sequence[Output]) -> None:
        sent = [await self._outbox.send(one.topic, one.value, key=one.key, headers=one.headers) for one in outputs]
        await self._outbox.acknowledged(sent)


def _pieces(run: str, outputs: Sequence[Output]) -> list[bytes]:
    parts: list[list[Output]] = []
    size = _PIECE_BYTES
    for output in outputs:
        if size >= _PIECE_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(output)
        size += len(output.value or b"") + 512
    return [msgspec.msgpack.encode(_Piece(run, len(parts), part)) for part in parts]
