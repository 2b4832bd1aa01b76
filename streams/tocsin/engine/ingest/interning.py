"""Interning: each spelling of a series is parsed once, then known by the hash of its raw bytes.

That is Python's own, SipHash with a key that each process draws: of a million spellings two have the same 64 bits once
in forty million runs. So the spellings themselves need not be kept, nor compared, each in a place of memory of its own.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import orjson

from tocsin.engine.frame import ID_BYTES, UNIT_MARK, Ints
from tocsin.engine.ingest.columns import Columns
from tocsin.engine.numbering import ABSENT, Names, Numbering
from tocsin.schemas.labels import series_id, series_key
from tocsin.schemas.metric import MAX_LABELS, MAX_NAME_CHARS, MAX_SAMPLE_BYTES, Reject

MAX_SPELLINGS: Final = 1_000_000
MAX_SPELLINGS_BYTES: Final = 128 * 2**20  # a million ordinary series
_GROWTH: Final = 1_024


class Glossary:
    """Ids and keys of the series of one samples partition, by place: in the order in which they were learnt, so that
    those that come one after the other lie side by side."""

    def __init__(self) -> None:
        self.count = 0
        self._ids = np.zeros((_GROWTH, ID_BYTES), np.uint8)
        self._ends = np.zeros(_GROWTH, np.int64)  # of keys, behind a zero
        self._keys = bytearray()

    def add(self, key: bytes, identity: bytes) -> int:
        """One more series; returns its place."""
        place, self.count = self.count, self.count + 1
        if self.count == len(self._ends):
            self._ids = np.concatenate((self._ids, np.zeros_like(self._ids)))
            self._ends = np.concatenate((self._ends, np.zeros_like(self._ends)))
        self._ids[place] = np.frombuffer(identity, np.uint8)
        self._keys += key
        self._ends[self.count] = len(self._keys)
        return place

    def key(self, place: int) -> bytes:
        """The key of one series, with its unit."""
        return bytes(self._keys[self._ends[place] : self._ends[place + 1]])

    def excerpt(self, places: Ints) -> tuple[bytes, bytes, bytes]:
        """Ids, ends of keys, and keys of some series, given by rising place, as they lie in a frame."""
        begins, ends = self._ends[places], self._ends[places + 1]
        cuts = np.flatnonzero(np.diff(places) != 1)
        first, last = begins[np.concatenate(([0], cuts + 1))], ends[np.concatenate((cuts, [-1]))]
        with memoryview(self._keys) as text:
            keys = b"".join([text[begin:end] for begin, end in zip(first.tolist(), last.tolist(), strict=True)])
        return self._ids[places].tobytes(), np.cumsum(ends - begins, dtype=np.uint32).tobytes(), keys


class Interner:
    """Spellings seen so far, by number: the partition of the series, and its place in that partition's glossary; or why
    it is no series.

    Bounded: beyond `MAX_SPELLINGS`, or `MAX_SPELLINGS_BYTES` in them, everything is forgotten and learnt anew, which
    costs time and changes nothing.
    """

    def __init__(self, partitions: int) -> None:
        assert partitions > 0
        self._partitions = partitions
        self.forget()

    def forget(self) -> None:
        """Begin with nothing."""
        self._known = Numbering()
        self.rejects: dict[int, Reject] = {}
        self.size_bytes = 0
        self.count = 0
        self.partition = np.zeros(_GROWTH, np.int32)  # -1: no series
        self.place = np.zeros(_GROWTH, np.int64)
        self.glossaries = [Glossary() for _ in range(self._partitions)]

    @property
    def is_full(self) -> bool:
        """Whether it is time to forget."""
        return self.count > MAX_SPELLINGS or self.size_bytes > MAX_SPELLINGS_BYTES

    def numbers(self, columns: Columns) -> Ints:
        """The number of each sample's spelling; those that are new are learnt."""
        return self._numbers(columns.names, columns.labels, columns.units)

    def number(self, name: str, labels: bytes, unit: str | None) -> int:
        """The number of one spelling; a new one is learnt."""
        return int(self._numbers([name], [labels], [unit])[0])

    def key(self, number: int) -> bytes:
        """The key of a series, with its unit; empty for what is none."""
        partition = int(self.partition[number])
        return b"" if partition < 0 else self.glossaries[partition].key(int(self.place[number]))

    def _numbers(self, names: Sequence[str], labels: Sequence[bytes], units: Sequence[str | None]) -> Ints:
        hashes = _hashes(names, labels)
        found = self._known.find(hashes)
        if (found != ABSENT).all():
            return found
        fresh: dict[tuple[str, bytes], int] = {}
        first = []
        for index in np.flatnonzero(found == ABSENT).tolist():
            spelling = names[index], labels[index]
            if spelling not in fresh:
                fresh[spelling] = self._add(*spelling, units[index])
                first.append(index)
            found[index] = fresh[spelling]
        self._known.put(hashes[first], found[first])
        return found

    def _add(self, name: str, labels: bytes, unit: str | None) -> int:
        number, self.count = self.count, self.count + 1
        if number == len(self.partition):
            self.partition = np.concatenate((self.partition, np.zeros_like(self.partition)))
            self.place = np.concatenate((self.place, np.zeros_like(self.place)))
        self.size_bytes += len(name.encode()) + len(labels)
        key = _canonical(name, labels)
        if isinstance(key, Reject):
            self.rejects[number] = key
            self.partition[number] = -1
            return number
        identity = series_id(key)
        partition = int.from_bytes(identity[:8], "little") % self._partitions
        self.partition[number] = partition
        self.place[number] = self.glossaries[partition].add(key + UNIT_MARK + unit.encode() if unit else key, identity)
        return number


def _hashes(names: Sequence[str], labels: Sequence[bytes]) -> Names:
    found = np.empty((len(labels), 2), np.int64)
    found[:, 0] = np.fromiter(map(hash, labels), np.int64, len(labels))
    is_one = names.count(names[0]) == len(names)
    found[:, 1] = hash(names[0]) if is_one else np.fromiter(map(hash, names), np.int64, len(names))
    return found


def _canonical(name: str, labels: bytes) -> bytes | Reject:
    if not name or len(name) > MAX_NAME_CHARS:
        return Reject("name", f"the name has {len(name)} characters; 1 to {MAX_NAME_CHARS} are allowed")
    if len(labels) > MAX_SAMPLE_BYTES:
        return Reject("size", f"the labels have {len(labels)} bytes; at most {MAX_SAMPLE_BYTES} are allowed")
    try:
        found = orjson.loads(labels) if labels else None
    except orjson.JSONDecodeError as error:
        return Reject("utf8" if "UTF-8" in str(error) or "utf" in str(error) else "json", f"the labels: {error}")
    if found is None:
        found = {}
    if not isinstance(found, dict):
        return Reject("labels", "labels must be an object of texts")
    for label, value in found.items():
        if not label or not isinstance(value, str):
            return Reject("labels", f"label {label!r} must have a name and a text as value, not {value!r:.40}")
    if len(found) > MAX_LABELS:
        return Reject("labels", f"the sample has {len(found)} labels; at most {MAX_LABELS} are allowed")
    return series_key(name, found)
