"""A table whose entries and the records sent because of them survive a crash together, and a worker that comes back.

Kafka acknowledges a changelog record and an output one by one, so a crash can fall between them. Therefore a run is
first written down as a whole, entries and outputs (the journal); then its entries are written and its outputs sent, the
journal is emptied, and only then the run's offsets may be committed. After a crash a journal that is there is carried
out again: its outputs carry the same ids, and the inputs that come again, in whatever order the two
topics bring them, find themselves in the entries. Without a journal nothing of the run happened.

Between any check and the write behind it a process can stand still until others went on with its partition, and write
all the same. So each owner writes under names of its own, its reign, which sorts behind those before it: what an
earlier owner writes late hides nothing. And it asks the group once its journal is on Kafka: if the partition is still
its own then, every later owner finds that journal, and says the same in its stead. An entry that was removed leaves a
mark with the reign in which that was, for a while: whoever reigns next removes what came late of earlier ones.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import msgspec

from tocsin.engine.pieces import DamagedEntry, PieceTable
from tocsin.engine.reigns import FIRST, next_reign
from tocsin.schemas.dead_letter import Header

_JOURNAL: Final = b"journal/"
_ENTRIES: Final = b"entry/"
_GONE: Final = b"gone/"
_MOST_GONE: Final = 1_000  # marks of a partition


class Output(msgspec.Struct, array_like=True):
    """One record to send; its key says to which partition, unless it names one."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[Header] = []
    partition: int | None = None


class _Journal(msgspec.Struct, array_like=True):
    """One run: its name, the entries that it changes, and what it sends; whether those that it removes are marked."""

    run: str
    entries: dict[str, bytes | None]
    outputs: list[Output]
    are_marked: bool = True


_NOTHING: Final = _Journal("", {}, [])
Holds = Callable[[], Awaitable[bool]]
Acknowledged = Callable[[], Awaitable[None]]
Send = Callable[[Sequence[Output]], Awaitable[Acknowledged]]
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Reign:
    """The time during which one process owns a partition: a text that sorts behind the reigns before it, and whether
    the group still counts the partition as ours. `gone` are names of marks, the oldest first; `numbers` are theirs.
    `earlier` are the names that reigns before gave to an entry."""

    name: bytes
    holds: Holds
    gone: deque[bytes]
    earlier: dict[bytes, list[bytes]]
    numbers: Iterator[int] = field(default_factory=count)


class RunTable:
    """Entries of one table by key, changed run by run. Runs of one partition must come one at a time.

    What `send` returns waits until what it was given is on Kafka; `report` hears of what is damaged.
    """

    def __init__(self, pieces: PieceTable, send: Send, report: Report) -> None:
        self._pieces = pieces
        self._send = send
        self._report = report
        self._reigns: dict[int, _Reign] = {}

    def get(self, partition: int, key: str) -> bytes | None:
        """An entry; a damaged one is named in the log, and counts as none."""
        try:
            reign = self._reigns.get(partition)
            own = self._pieces.read(partition, _entry(key) + reign.name) if reign else None
            if own is not None:
                return own
            names = reign.earlier.get(_entry(key)) if reign else self._pieces.names(partition, _entry(key))
            return self._pieces.read(partition, names[-1]) if names else None
        except DamagedEntry as error:
            self._report(f"an entry of partition {partition} is damaged; {key} begins anew: {error}")
            return None

    def keys(self, partition: int) -> list[str]:
        """The keys of all entries of a partition, whoever wrote them."""
        return list(dict.fromkeys(_key(name) for name in self._pieces.names(partition, _ENTRIES)))

    def reigns(self, partition: int) -> bool:
        """Whether `recover` was called since the partition came, as the first run does once the table is read back."""
        return partition in self._reigns

    async def recover(self, partition: int, generation: int, holds: Holds) -> bool:
        """Begin to reign over a partition, and carry out what a crashed run was about to do; once for each assignment.

        `generation` is that of the group. False if the partition is another's by now.
        """
        if partition in self._reigns:
            return True
        before = self._pieces.names(partition, _JOURNAL)
        name = next_reign(before[-1].removeprefix(_JOURNAL) if before else FIRST, generation)
        gone = self._pieces.names(partition, _GONE)
        reign, run = _Reign(name, holds, deque(gone), {}), self._last_run(partition, before)
        # Written anew, even if it is empty: from here on no journal of an earlier reign counts, whenever it comes.
        own = {_JOURNAL + reign.name: msgspec.msgpack.encode(run)}
        late = self._come_back(partition, gone)
        await self._pieces.write(partition, {**own, **dict.fromkeys([*before, *late])})
        if not await holds():
            return False
        for entry in self._pieces.names(partition, _ENTRIES):
            reign.earlier.setdefault(entry[: -len(FIRST)], []).append(entry)
        if run.run:
            await self._carry_out(partition, reign, run)
        self._reigns[partition] = reign
        return True

    def _come_back(self, partition: int, gone: Sequence[bytes]) -> Iterator[bytes]:
        """Names of entries that were removed in a later reign than they were written in."""
        for mark in gone:
            try:
                entry = self._pieces.read(partition, mark)
            except DamagedEntry:
                continue
            if entry:
                until = entry + mark.removeprefix(_GONE)[: len(FIRST)]
                yield from (name for name in self._pieces.names(partition, entry) if name < until)

    def _last_run(self, partition: int, journals: Sequence[bytes]) -> _Journal:
        try:
            found = self._pieces.read(partition, journals[-1]) if journals else None
            return msgspec.msgpack.decode(found, type=_Journal) if found else _NOTHING
        except (DamagedEntry, msgspec.DecodeError) as error:
            self._report(f"a journal of partition {partition} is damaged, and what it held is not sent: {error}")
            return _NOTHING

    async def finish(
        self,
        partition: int,
        run: str,
        entries: Mapping[str, bytes | None],
        outputs: Sequence[Output],
        *,
        are_marked: bool = True,
    ) -> bool:
        """Store entries and send outputs; when this returns, both are on Kafka. `run` is a name no other run has.
        Where it does no harm if removed entries come back, they need not be marked.

        False if the partition is another's by now, which takes the same inputs.
        """
        reign = self._reigns.get(partition)
        if reign is None:
            return False
        if not entries and not outputs:
            return await reign.holds()
        journal = _Journal(run, dict(entries), list(outputs), are_marked)
        await self._pieces.write(partition, {_JOURNAL + reign.name: msgspec.msgpack.encode(journal)})
        if not await reign.holds():
            return False
        await self._carry_out(partition, reign, journal)
        return True

    async def _carry_out(self, partition: int, reign: _Reign, run: _Journal) -> None:
        changes: dict[bytes, bytes | None] = {}
        for key, value in run.entries.items():
            entry = _entry(key)
            changes[entry + reign.name] = value
            changes |= dict.fromkeys(reign.earlier.pop(entry, ()))
            if value is None and run.are_marked:
                mark = b"%b%b%016x" % (_GONE, reign.name, next(reign.numbers))
                reign.gone.append(mark)
                changes[mark] = entry
        while len(reign.gone) > _MOST_GONE:
            changes[reign.gone.popleft()] = None
        acknowledged = await self._send(run.outputs)  # with the journal there, it does not matter what comes first
        await self._pieces.write(partition, changes)
        await acknowledged()
        await self._pieces.write(partition, {_JOURNAL + reign.name: msgspec.msgpack.encode(_NOTHING)})

    def forget(self) -> None:
        """At a rebalance: another worker may have gone on with our partitions."""
        self._reigns.clear()


def _entry(key: str) -> bytes:
    """What the names of an entry begin with, and those of no other."""
    raw = key.encode(errors="surrogatepass")
    return b"%b%d/%b/" % (_ENTRIES, len(raw), raw)


def _key(name: bytes) -> str:
    """The key of an entry by its name."""
    length, _, rest = name.removeprefix(_ENTRIES).partition(b"/")
    return rest[: int(length)].decode(errors="surrogatepass")
