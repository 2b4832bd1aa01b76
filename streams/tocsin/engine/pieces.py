"""Values of any size in a table: packed, cut into pieces that every broker takes, each replaced as a whole.

Under its own name an entry has a root: the value itself, or how many pieces of which generation hold it. A new version
writes the pieces of the other generation first, then the root, then removes the old pieces: at any moment the root's
pieces are whole. A checksum tells what was damaged, or overwritten by a worker that was thought dead.
"""

import zlib
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Final, Protocol

import cramjam
import msgspec

_PIECE_BYTES: Final = 512 * 1024  # well below the 1 MiB that a broker takes unless it is told otherwise
_WORTH_PACKING: Final = 1_024
_LARGEST: Final = 2**30  # a root that claims more is damaged
_LEVEL: Final = 1


class Stored(Protocol):
    """The partitions of one table: a changelog, and a store that holds what the changelog says."""

    def read(self, partition: int, key: bytes) -> bytes | None:
        """An entry of the store."""

    def keys(self, partition: int, prefix: bytes) -> list[bytes]:
        """The keys that begin with a prefix, in order."""

    async def write(self, partition: int, entries: Mapping[bytes, bytes | None]) -> None:
        """Write entries durably, in order; None removes one. Returns when they are in changelog and store."""


class DamagedEntry(ValueError):
    """An entry that is not what was written, or that lacks a piece."""


class _Root(msgspec.Struct, array_like=True, frozen=True):
    """`size` and `check` (CRC-32) are those of the value; `content` is it, packed or not, unless there are `pieces`."""

    size: int
    check: int
    packed: bool
    generation: int
    pieces: int
    content: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Root)


class PieceTable:
    """Entries of one table, by partition and name; names must not begin with a zero byte."""

    def __init__(self, stored: Stored, piece_bytes: int = _PIECE_BYTES) -> None:
        self._stored = stored
        self._piece_bytes = piece_bytes

    def read(self, partition: int, name: bytes) -> bytes | None:
        """An entry; raises DamagedEntry."""
        root = self._root(partition, name)
        if root is None:
            return None
        content = root.content
        if root.pieces:
            names = [_piece_name(name, root.generation, index) for index in range(root.pieces)]
            content = b"".join(self._stored.read(partition, piece) or b"" for piece in names)
        value = _unpacked(name, content, root.size) if root.packed else content
        if len(value) != root.size or zlib.crc32(value) != root.check:
            raise DamagedEntry(f"{name!r} is damaged")
        return value

    def has(self, partition: int, name: bytes) -> bool:
        """Whether there is an entry, damaged or not."""
        return self._stored.read(partition, name) is not None

    def names(self, partition: int, prefix: bytes) -> list[bytes]:
        """The names of entries that begin with a prefix, in order."""
        return self._stored.keys(partition, prefix)

    async def write(self, partition: int, entries: Mapping[bytes, bytes | None]) -> None:
        """Write entries durably; None removes one. Returns when they are in changelog and store."""
        pieces: dict[bytes, bytes | None] = {}
        roots: dict[bytes, bytes | None] = {}
        stale: dict[bytes, bytes | None] = {}
        for name, value in entries.items():
            assert not name.startswith(b"\0"), f"{name!r} is a piece's name"
            try:
                before = self._root(partition, name)
            except DamagedEntry:
                before = None
            generation = 1 - before.generation if before else 0
            parts: list[bytes] = []
            roots[name] = None
            if value is not None:
                root, parts = _cut(value, generation, self._piece_bytes)
                roots[name] = _encoder.encode(root)
            pieces |= {_piece_name(name, generation, index): part for index, part in enumerate(parts)}
            if parts or (before and before.pieces):
                stale |= dict.fromkeys(self._stored_pieces(partition, name, 1 - generation, 0))
                stale |= dict.fromkeys(self._stored_pieces(partition, name, generation, len(parts)))
        await self._stored.write(partition, {**pieces, **roots, **stale})

    def _root(self, partition: int, name: bytes) -> _Root | None:
        stored = self._stored.read(partition, name)
        if not stored:
            return None
        try:
            root = _decoder.decode(stored)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DamagedEntry(f"{name!r} is damaged: {error}") from None
        if not 0 <= root.size <= _LARGEST or not 0 <= root.pieces <= _LARGEST // _PIECE_BYTES:
            raise DamagedEntry(f"{name!r} claims to have {root.size} bytes in {root.pieces} pieces")
        return root

    def _stored_pieces(self, partition: int, name: bytes, generation: int, begin: int) -> Iterator[bytes]:
        for index in count(begin):
            piece = _piece_name(name, generation, index)
            if self._stored.read(partition, piece) is None:
                return
            yield piece


def _cut(value: bytes, generation: int, piece_bytes: int) -> tuple[_Root, list[bytes]]:
    is_packed = len(value) >= _WORTH_PACKING
    content = bytes(cramjam.zstd.compress(value, _LEVEL)) if is_packed else value
    parts = []
    if len(content) > piece_bytes:
        parts = [content[at : at + piece_bytes] for at in range(0, len(content), piece_bytes)]
        content = b""
    return _Root(len(value), zlib.crc32(value), is_packed, generation, len(parts), content), parts


def _unpacked(name: bytes, content: bytes, size: int) -> bytes:
    room = bytearray(size)
    try:
        length = cramjam.zstd.decompress_into(content, room)
    except Exception as error:  # noqa: BLE001 - cramjam raises its own errors, and plain ones of Rust's writers
        raise DamagedEntry(f"{name!r} does not unpack: {error}") from None
    return bytes(room[:length])


def _piece_name(name: bytes, generation: int, index: int) -> bytes:
    return b"\0%d/%d/%s" % (generation, index, name)
