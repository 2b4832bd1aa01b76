"""Tables as the agents keep them: a changelog on the log, a copy in memory, and a journal that makes a run whole.

A run's entries and outputs are first written to the changelog together (the journal), then the entries, then the
outputs are sent, then the journal is emptied, and only then the run's offset may be committed. Whoever takes over
writes and sends again what a whole journal holds; a journal of which a piece is missing never counted.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from tocsin.engine.simulation.broker import Outbox

_JOURNAL: Final = b"\x00journal/%d"
Entries = Mapping[bytes, bytes | None]


class Output(msgspec.Struct, array_like=True, frozen=True):
    """One record to send."""

    topic: str
    key: bytes
    value: bytes | None


class _Piece(msgspec.Struct, array_like=True, frozen=True):
    """A part of a journal; `of` pieces of the same `run` make it whole."""

    run: str
    of: int
    entries: list[tuple[bytes, bytes | None]]
    outputs: list[Output]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Piece)


class Table:
    """The partitions of one table that one process owns, read back from their changelog when first asked for."""

    def __init__(self, outbox: Outbox, topic: str) -> None:
        self._outbox, self.topic = outbox, topic
        self._stores: dict[int, dict[bytes, bytes]] = {}

    def store(self, partition: int) -> dict[bytes, bytes]:
        """The entries of a partition."""
        found = self._stores.get(partition)
        if found is None:
            found = self._stores[partition] = {}
            for _, key, value, _ in self._outbox.broker.partition(self.topic, partition).records:
                assert key is not None
                _put(found, key, value)
        return found

    def write(self, partition: int, entries: Entries) -> None:
        """Write entries durably, then to the copy; None removes one."""
        if not entries:
            return
        store = self.store(partition)
        for key, value in entries.items():
            self._outbox.send(self.topic, key, value, partition)
        self._outbox.acknowledged()
        for key, value in entries.items():
            _put(store, key, value)

    def forget(self) -> None:
        """At a rebalance: another process may have gone on with our partitions."""
        self._stores.clear()


def _put(store: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    if value is None:
        store.pop(key, None)
    else:
        store[key] = value


class RunTable:
    """A table changed run by run: entries and outputs of a run survive a crash together. `piece` bounds how many of
    them one journal record holds."""

    def __init__(self, outbox: Outbox, topic: str, piece: int) -> None:
        self._outbox, self.table, self._piece = outbox, Table(outbox, topic), piece
        self._recovered: set[int] = set()

    def get(self, partition: int, key: str) -> bytes | None:
        """An entry."""
        return self.table.store(partition).get(key.encode())

    def recover(self, partition: int) -> None:
        """Finish what a crashed run had begun; once for each assignment."""
        if partition in self._recovered:
            return
        pieces = self._pieces(partition)
        if pieces and len(pieces) == pieces[0].of:
            self.table.write(partition, {key: value for piece in pieces for key, value in piece.entries})
            self._send([output for piece in pieces for output in piece.outputs])
        self._empty(partition)
        self._recovered.add(partition)

    def finish(
        self,
        partition: int,
        run: str,
        entries: Entries,
        outputs: Sequence[Output],
        done: Callable[[], None] = lambda: None,
    ) -> None:
        """Store entries and send outputs; `done` is told at the moment since which the run counts."""
        pieces = self._cut(run, list(entries.items()), list(outputs))
        for index, piece in enumerate(pieces):
            last = done if index == len(pieces) - 1 else None
            self._outbox.send(self.table.topic, _JOURNAL % index, piece, partition, last)
        if not pieces:
            done()
        self._outbox.acknowledged()
        store = self.table.store(partition)
        store.update({_JOURNAL % index: piece for index, piece in enumerate(pieces)})
        self.table.write(partition, entries)
        self._send(outputs)
        self._empty(partition)

    def forget(self) -> None:
        """At a rebalance."""
        self._recovered.clear()
        self.table.forget()

    def _cut(self, run: str, entries: list[tuple[bytes, bytes | None]], outputs: list[Output]) -> list[bytes]:
        count = -(-max(len(entries), len(outputs)) // self._piece)
        parts = [slice(index * self._piece, (index + 1) * self._piece) for index in range(count)]
        return [_encoder.encode(_Piece(run, count, entries[part], outputs[part])) for part in parts]

    def _pieces(self, partition: int) -> list[_Piece]:
        store = self.table.store(partition)
        pieces: list[_Piece] = []
        while (value := store.get(_JOURNAL % len(pieces))) is not None:
            pieces.append(_decoder.decode(value))
        return [piece for piece in pieces if piece.run == pieces[0].run]

    def _empty(self, partition: int) -> None:
        store = self.table.store(partition)
        journal = [key for key in store if key.startswith(b"\x00")]
        self.table.write(partition, dict.fromkeys(journal))

    def _send(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            self._outbox.send(output.topic, output.key, output.value)
        self._outbox.acknowledged()
