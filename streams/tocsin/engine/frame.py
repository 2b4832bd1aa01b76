"""What lies on `tocsin.samples`: frames of samples in columns, and ticks that carry time and progress through the log.

A frame stands alone: its source partition, a dictionary of series, and columns that point into it. All arrays are
little-endian. A series in the dictionary is its 16-byte id and its key; a unit, where known, follows after 0xFE.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

UNIT_MARK: Final = b"\xfe"  # never part of UTF-8
ID_BYTES: Final = 16

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Frame(msgspec.Struct, array_like=True, tag="f", frozen=True):
    """Samples of one run of one source partition that belong to one samples partition, in source order.

    A run of messages with and without keys gives a frame for each stretch of either, one after the other.

    `ids` holds k x 16 bytes, `key_ends` k uint32 ends into `keys`; `series` n uint32 indexes into these, `at_ms` n
    int64, `values` n float64, `offsets` n uint32 relative to `base_offset`. `keyed` says that every message in it had a
    key, so that the producer chose the partition by it.
    """

    topic: str
    partition: int
    clock_ms: int
    keyed: bool
    base_offset: int
    ids: bytes
    key_ends: bytes
    keys: bytes
    series: bytes
    at_ms: bytes
    values: bytes
    offsets: bytes

    def series_ids(self) -> list[bytes]:
        """The ids of the dictionary's series."""
        found: list[bytes] = np.frombuffer(self.ids, f"V{ID_BYTES}").tolist()
        return found

    def series_keys(self, indexes: Sequence[int]) -> list[tuple[bytes, str | None]]:
        """Keys and units of some series of the dictionary."""
        ends = [0, *np.frombuffer(self.key_ends, np.uint32).tolist()]
        found = []
        for index in indexes:
            key, _, unit = self.keys[ends[index] : ends[index + 1]].partition(UNIT_MARK)
            found.append((key, unit.decode(errors="replace") or None))
        return found


class SourceProgress(msgspec.Struct, array_like=True, frozen=True):
    """How far ingest has read a source partition: next offset, highest event time seen, and messages still to read."""

    topic: str
    partition: int
    position: int
    highest_ms: int
    lag: int


class Tick(msgspec.Struct, array_like=True, tag="t", frozen=True):
    """Time in the log: an ingest worker's clock, the configuration in force, and its source partitions' progress.

    `partitions` gives every metrics topic's partition count, so that evaluate knows for whom to wait.
    """

    clock_ms: int
    rules_offset: int
    sources: tuple[SourceProgress, ...]
    partitions: dict[str, int]


_decoder: Final = msgspec.msgpack.Decoder(Frame | Tick)
_encoder: Final = msgspec.msgpack.Encoder()


class DamagedFrame(ValueError):
    """A record on the samples topic that is neither a frame nor a tick."""


def encode(item: Frame | Tick) -> bytes:
    """A frame or tick as it lies on the topic."""
    return _encoder.encode(item)


def decode(value: bytes) -> Frame | Tick:
    """Read a record of the samples topic; raises DamagedFrame."""
    try:
        found: Frame | Tick = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedFrame(f"not a frame: {error}") from None
    if isinstance(found, Frame) and not _is_whole(found):
        raise DamagedFrame("its columns do not go together")
    return found


def _is_whole(frame: Frame) -> bool:
    """Whether all columns have the lengths that go together, and point to where something is."""
    rows, series = len(frame.values) // 8, len(frame.ids) // ID_BYTES
    lengths = (frame.series, 4 * rows), (frame.at_ms, 8 * rows), (frame.values, 8 * rows), (frame.offsets, 4 * rows)
    dictionary = (frame.ids, ID_BYTES * series), (frame.key_ends, 4 * series)
    if not rows or any(len(column) != length for column, length in (*lengths, *dictionary)):
        return False
    ends = np.frombuffer(frame.key_ends, np.uint32)
    is_rising = bool((np.diff(ends.astype(np.int64)) >= 0).all()) and ends[-1:].tolist() == [len(frame.keys)]
    return is_rising and int(np.frombuffer(frame.series, np.uint32).max()) < series
