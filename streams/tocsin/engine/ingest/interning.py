"""Interning: each spelling of a series is parsed once, then known by its raw bytes."""

from typing import Final

import numpy as np
import orjson

from tocsin.engine.frame import ID_BYTES, UNIT_MARK, Ints
from tocsin.engine.ingest.columns import Columns
from tocsin.schemas.labels import series_id, series_key
from tocsin.schemas.metric import MAX_LABELS, MAX_NAME_CHARS, MAX_SAMPLE_BYTES, Reject

MAX_SPELLINGS: Final = 1_000_000
MAX_SPELLINGS_BYTES: Final = 256 * 2**20  # a million ordinary series: some 100 bytes as written, as many as a key
_GROWTH: Final = 1_024
_NAME_BYTES: Final = 232  # of the table of a name's spellings


class Interner:
    """Spellings seen so far, by number: the series id, its partition and its key; or why it is no series.

    Bounded: beyond `MAX_SPELLINGS`, or `MAX_SPELLINGS_BYTES` in them and their keys, everything is forgotten and learnt
    anew, which costs time and changes nothing.
    """

    def __init__(self, partitions: int) -> None:
        assert partitions > 0
        self._partitions = partitions
        self.forget()

    def forget(self) -> None:
        """Begin with nothing."""
        self._known: dict[str, dict[bytes, int]] = {}  # by name: a pair of both would cost as much as the look-up
        self.keys: list[bytes] = []
        self.rejects: dict[int, Reject] = {}
        self.size_bytes = 0
        self.ids = np.zeros((_GROWTH, ID_BYTES), np.uint8)
        self.partition = np.zeros(_GROWTH, np.int32)  # -1: no series

    @property
    def is_full(self) -> bool:
        """Whether it is time to forget."""
        return len(self.keys) > MAX_SPELLINGS or self.size_bytes > MAX_SPELLINGS_BYTES

    def numbers(self, columns: Columns) -> Ints:
        """The number of each sample's spelling; those that are new are learnt."""
        try:
            return np.array(self._look_up(columns.names, columns.labels), np.int64)
        except KeyError:
            spelt = zip(columns.names, columns.labels, columns.units, strict=True)
            return np.array([self.number(*one) for one in spelt], np.int64)

    def _look_up(self, names: list[str], labels: list[bytes]) -> list[int]:
        if names.count(names[0]) == len(names):
            known = self._known[names[0]]
            return [known[spelling] for spelling in labels]
        by_name = self._known
        return [by_name[name][spelling] for name, spelling in zip(names, labels, strict=True)]

    def number(self, name: str, labels: bytes, unit: str | None) -> int:
        """The number of one spelling; a new one is learnt."""
        spellings = self._known.get(name)
        if spellings is None:
            spellings = self._known[name] = {}
            self.size_bytes += _NAME_BYTES
        found = spellings.get(labels)
        return self._add(name, labels, unit) if found is None else found

    def _add(self, name: str, labels: bytes, unit: str | None) -> int:
        number = len(self.keys)
        if number == len(self.partition):
            self.ids = np.concatenate((self.ids, np.zeros_like(self.ids)))
            self.partition = np.concatenate((self.partition, np.zeros_like(self.partition)))
        self._known[name][labels] = number
        self.size_bytes += 2 * (len(name.encode()) + len(labels))
        key = _canonical(name, labels)
        if isinstance(key, Reject):
            self.keys.append(b"")
            self.rejects[number] = key
            self.partition[number] = -1
            return number
        identity = series_id(key)
        self.ids[number] = np.frombuffer(identity, np.uint8)
        self.partition[number] = int.from_bytes(identity[:8], "little") % self._partitions
        self.keys.append(key + UNIT_MARK + unit.encode() if unit else key)
        return number


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
