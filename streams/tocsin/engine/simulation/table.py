"""Tables as the agents keep them: a changelog on the log, and a copy in memory; over it, the engine's table of runs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tocsin.engine import run_table
from tocsin.engine.pieces import PieceTable
from tocsin.engine.run_table import Output
from tocsin.engine.simulation.broker import Outbox, Violation

Entries = Mapping[bytes, bytes | None]
Counts = Callable[[str], None]


class Table:
    """The partitions of one table that one process owns, read back from their changelog when first asked for."""

    def __init__(self, outbox: Outbox, topic: str) -> None:
        self._outbox, self.topic = outbox, topic
        self._stores: dict[int, dict[bytes, bytes]] = {}

    def store(self, partition: int) -> dict[bytes, bytes]:
        """The entries of a partition."""
        found = self._stores.get(partition)
        if found is None:
            found = self._stores[partition] = dict(self._outbox.broker.partition(self.topic, partition).image)
        return found

    def read(self, partition: int, key: bytes) -> bytes | None:
        """An entry."""
        found = self._stores.get(partition)
        return (self.store(partition) if found is None else found).get(key)

    def keys(self, partition: int, prefix: bytes) -> list[bytes]:
        """The keys that begin with a prefix, in order."""
        return sorted([key for key in self.store(partition) if key.startswith(prefix)])

    def put(self, partition: int, entries: Entries) -> None:
        """Write entries durably, then to the copy; None removes one."""
        for key, value in entries.items():
            self._outbox.send(self.topic, key, value, partition)
        self._outbox.acknowledged()
        _put_all(self.store(partition), entries)

    async def write(self, partition: int, entries: Entries) -> None:
        """The same, of a process that may stand still meanwhile."""
        store = self.store(partition)
        for key, value in entries.items():
            self._outbox.send(self.topic, key, value, partition)
        await self._outbox.arrived()
        _put_all(store, entries)

    def forget(self) -> None:
        """At a rebalance: another process may have gone on with our partitions."""
        self._stores.clear()


def _put_all(store: dict[bytes, bytes], entries: Entries) -> None:
    for key, value in entries.items():
        if value is None:
            store.pop(key, None)
        else:
            store[key] = value


class RunTable(run_table.RunTable):
    """The engine's, over a Table. `counts` hears the name of a run from which there is no way back: it is carried out,
    by its owner or by whoever came after."""

    def __init__(self, outbox: Outbox, topic: str, piece_bytes: int, counts: Counts) -> None:
        self.table: Final = Table(outbox, topic)
        super().__init__(PieceTable(self.table, piece_bytes), self._say, _damaged)
        self._outbox, self._counts = outbox, counts

    async def _say(self, outputs: Sequence[Output]) -> run_table.Acknowledged:
        for output in outputs:
            self._outbox.send(output.topic, output.key, output.value, output.partition)
        return self._outbox.arrived

    async def _carry_out(self, partition: int, reign: run_table._Reign, run: run_table._Journal) -> None:
        self._counts(run.run)
        await super()._carry_out(partition, reign, run)

    def forget(self) -> None:
        """At a rebalance."""
        super().forget()
        self.table.forget()


def _damaged(what: str) -> None:
    raise Violation("nothing-damaged", what)
