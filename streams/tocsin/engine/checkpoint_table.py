"""Where the checkpoints of one partition lie, so that what an earlier owner writes late changes none.

A process can stand still within a checkpoint until others went on with its partition, and write the rest of it then.
So each owner writes under names of its own, its reign, which sorts behind those before it, and of each entry the last
one counts. Whoever is late writes only copies that no header in force names (`evaluate/copies.py`), and under an older
name. Before its first entries an owner writes the header that it found under its own name: no earlier one counts then.
"""

from collections.abc import Mapping

from tocsin.engine.evaluate.checkpoint import HEADER
from tocsin.engine.pieces import DamagedEntry, PieceTable
from tocsin.engine.reigns import FIRST, next_reign


class Checkpoints:
    """The checkpoints of one partition, as its owner since one generation of the group reads and writes them."""

    def __init__(self, pieces: PieceTable, partition: int, generation: int) -> None:
        self._pieces = pieces
        self._partition = partition
        headers = self._names(HEADER)
        last = headers[-1].removeprefix(self._prefix(HEADER)) if headers else FIRST
        self._reign = next_reign(last if len(last) == len(FIRST) else FIRST, generation)
        self._own: set[str] = set()

    def read(self, name: str) -> bytes | None:
        """An entry; raises DamagedEntry."""
        names = self._names(name)
        return self._pieces.read(self._partition, names[-1]) if names else None

    async def write(self, entries: Mapping[str, bytes | None], header: bytes) -> None:
        """Write entries, None removes one, then the header; all is in changelog and store when this returns."""
        if HEADER not in self._own:
            await self._end_earlier_reigns()
        changes: dict[bytes, bytes | None] = {}
        for name, value in entries.items():
            changes |= self._change(name, value)
        await self._pieces.write(self._partition, changes)
        await self._pieces.write(self._partition, self._change(HEADER, header))

    async def _end_earlier_reigns(self) -> None:
        try:
            found = self.read(HEADER)
        except DamagedEntry:
            return
        if found is not None:
            await self._pieces.write(self._partition, self._change(HEADER, found))

    def _change(self, name: str, value: bytes | None) -> dict[bytes, bytes | None]:
        own = self._prefix(name) + self._reign
        stale = self._names(name) if value is None or name not in self._own else []
        if value is None:
            self._own.discard(name)
            return dict.fromkeys(stale)
        self._own.add(name)
        return {own: value, **{other: None for other in stale if other != own}}

    def _names(self, name: str) -> list[bytes]:
        """All that are stored of an entry, the latest last; the first may be one of before there were reigns."""
        prefix = self._prefix(name)
        length = len(prefix) + len(FIRST)
        found = [one for one in self._pieces.names(self._partition, prefix) if len(one) == length]
        plain = prefix.removesuffix(b"/")
        return [plain, *found] if self._pieces.has(self._partition, plain) else found

    def _prefix(self, name: str) -> bytes:
        return b"%d/%b/" % (self._partition, name.encode())
