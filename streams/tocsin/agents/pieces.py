"""A Faust table as the store of pieces."""

from collections.abc import Mapping
from typing import Any

from tocsin.agents import tables
from tocsin.agents.outbox import Outbox
from tocsin.engine import pieces


class _FaustTable:
    def __init__(self, outbox: Outbox, table: Any) -> None:
        self._outbox = outbox
        self._table = table

    def read(self, partition: int, key: bytes) -> bytes | None:
        return tables.read(self._table, partition, key)

    def keys(self, partition: int, prefix: bytes) -> list[bytes]:
        return tables.keys(self._table, partition, prefix)

    async def write(self, partition: int, entries: Mapping[bytes, bytes | None]) -> None:
        await tables.write(self._outbox, self._table, partition, entries)


class PieceTable(pieces.PieceTable):
    """Entries of one Faust table, by partition and name."""

    def __init__(self, outbox: Outbox, table: Any) -> None:
        super().__init__(_FaustTable(outbox, table))
