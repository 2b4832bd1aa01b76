"""The series of one samples partition, by number, and where each was seen."""

from functools import lru_cache

import msgspec
import numpy as np

from tocsin.engine.evaluate.columns import CHUNK, Columns
from tocsin.engine.frame import Ints
from tocsin.schemas.labels import parse_series_key, series_id

UNWATCHED = -1
NO_HOME, MANY_HOMES = -1, -2


class SeriesTable:
    """Series that some lane watches. `home` is the one source partition that holds a series, if there is just one.

    Series that nothing watches are known by id only, so that they are not looked at again; a new plan forgets them.
    """

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}
        self.keys: list[bytes] = []
        self.units: list[str | None] = []
        self.sources: list[tuple[str, int]] = []  # source partitions by number
        self.columns = Columns({"home": ("i4", 0, NO_HOME), "lateness": ("i8", 0, 0), "arrived": ("i8", 0, 0)})

    def add(self, identity: bytes, key: bytes, unit: str | None) -> int:
        """A new watched series; returns its number."""
        number = self.columns.add()
        self.numbers[identity] = number
        self.keys.append(key)
        self.units.append(unit)
        return number

    def forget_unwatched(self) -> None:
        """A new plan may watch what none watched before."""
        self.numbers = {identity: number for identity, number in self.numbers.items() if number != UNWATCHED}

    def pack(self, chunk: int) -> bytes:
        """One chunk of series."""
        first = chunk * CHUNK
        packed = self.columns.pack(chunk)
        packed["keys"], packed["units"] = self.keys[first : first + CHUNK], self.units[first : first + CHUNK]
        return msgspec.msgpack.encode(packed)

    def unpack(self, chunk: int, value: bytes) -> None:
        """The inverse of `pack`; chunks come in order."""
        packed = msgspec.msgpack.decode(value)
        self.columns.unpack(chunk, packed)
        for key, unit in zip(packed["keys"], packed["units"], strict=True):
            self.numbers[series_id(key)] = len(self.keys)
            self.keys.append(key)
            self.units.append(unit)

    def describe(self, number: int) -> tuple[str, dict[str, str]]:
        """Metric name and labels of a series."""
        name, labels = _parsed(self.keys[number])
        return name, dict(labels)

    def all(self) -> Ints:
        """Every number."""
        return np.arange(self.columns.count)


@lru_cache(maxsize=4_096)
def _parsed(key: bytes) -> tuple[str, tuple[tuple[str, str], ...]]:
    name, labels = parse_series_key(key)
    return name, tuple(labels.items())
