"""The series of one samples partition, by number, and where and when each was seen."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import msgspec
import numpy as np

from tocsin.engine.evaluate.columns import CHUNK, Columns
from tocsin.engine.evaluate.judge import Describe, Judge
from tocsin.engine.evaluate.points import Points
from tocsin.engine.frame import Ints
from tocsin.engine.ingest.step import UNSEEN_MS
from tocsin.engine.numbering import Numbering, names_of
from tocsin.schemas.labels import SEPARATOR, parse_series_key, series_id, series_key

Watch = Callable[[Judge, Points, Describe], None]
"""Takes a judge, the points it was given, and what describes their slots; called when it has judged them."""
UNWATCHED = -1
NO_HOME, MANY_HOMES = -1, -2
_NOW = -1  # arrived since the last tick
MAX_UNWATCHED = 200_000  # ids kept only to know that nothing watches them


class SeriesTable:
    """Series that some lane watches. `home` is the one source partition that holds a series, if there is just one;
    `source` is the source partition of its last sample, `arrived` how long its topic had been listened to, at most,
    when that came, `latest` its highest event time.

    Series that nothing watches are known by id only, so that they are not looked at again; a new plan forgets them.
    """

    def __init__(self) -> None:
        self._numbering = Numbering()
        self.keys: list[bytes | None] = []  # None: a number that is free
        self.units: list[str | None] = []
        self.free: list[int] = []
        self.sources: list[tuple[str, int]] = []  # source partitions by number
        self.unwatched = 0
        self._renamed: set[int] = set()  # chunks
        self._came: dict[int, list[Ints]] = {}  # since the last tick that named it, by source partition
        self.watch: Watch | None = None  # told of every value that is judged, for plots
        self.columns = Columns(
            {
                "home": ("i4", 0, NO_HOME),
                "source": ("i4", 0, -1),
                "arrived": ("i8", 0, 0),
                "latest": ("i8", 0, UNSEEN_MS),
            }
        )

    def find(self, identities: bytes) -> Ints:
        """The number of each series, UNWATCHED of those that nothing watches, ABSENT of those that are not known; ids
        lie side by side."""
        return self._numbering.find(names_of(identities))

    def add(self, identities: Sequence[bytes], keys: Sequence[bytes], units: Sequence[str | None]) -> Ints:
        """New watched series, none of them twice; returns their numbers."""
        reused = [heapq.heappop(self.free) for _ in range(min(len(self.free), len(keys)))]
        for number, key, unit in zip(reused, keys, units, strict=False):
            self.columns.renew(number)  # the smallest, so that a restored table goes on alike
            self.keys[number], self.units[number] = key, unit
        more = len(keys) - len(reused)
        first = self.columns.add(more) if more else self.columns.count
        self.keys += keys[len(reused) :]
        self.units += units[len(reused) :]
        numbers = np.array([*reused, *range(first, first + more)], np.int64)
        self._numbering.put(names_of(b"".join(identities)), numbers)
        self._renamed.update((numbers // CHUNK).tolist())
        return numbers

    def pass_over(self, identities: Sequence[bytes]) -> None:
        """Series that nothing watches; beyond a bound they are forgotten, which costs time and changes nothing."""
        if self.unwatched + len(identities) > MAX_UNWATCHED:
            self.forget_unwatched()
        self.unwatched += len(identities)
        self._numbering.put(names_of(b"".join(identities)), np.full(len(identities), UNWATCHED))

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget series; their numbers will be others'."""
        identities = []
        for number in numbers:
            key = self.keys[number]
            assert key is not None
            identities.append(series_id(key))
            self.keys[number] = self.units[number] = None
            self.columns.renew(number)
            self._renamed.add(number // CHUNK)
            heapq.heappush(self.free, number)
        self._numbering.remove(names_of(b"".join(identities)))

    def forget_unwatched(self) -> None:
        """A new plan may watch what none watched before."""
        self._numbering.drop(UNWATCHED)
        self.unwatched = 0

    def saw(self, numbers: Ints, at_ms: Ints, source: int) -> None:
        """Samples of series came; their silence counts from the next tick on that names their source partition."""
        self.columns["arrived"][numbers] = _NOW
        self._came.setdefault(source, []).append(numbers)
        self.columns["source"][numbers] = source
        np.maximum.at(self.columns["latest"], numbers, at_ms)
        self.columns.touch(numbers)

    def count_silence(self, topic: str, was_named: Callable[[int], bool], listened_ms: int) -> None:
        """A tick named partitions of a topic: what came of them before came when it had been listened to for at most so
        long."""
        for source in list(self._came):
            name, partition = self.sources[source]
            if name != topic or not was_named(partition):
                continue
            came = self._came.pop(source)
            numbers = came[0] if len(came) == 1 else np.concatenate(came)
            new = (self.columns["arrived"][numbers] == _NOW) & (self.columns["source"][numbers] == source)
            self.columns["arrived"][numbers[new]] = listened_ms
            self.columns.touch(numbers)

    def abandon(self, topic: str) -> None:
        """A topic is no longer read: should it be again, silence counts from then on."""
        of_topic = [source for source, (name, _) in enumerate(self.sources) if name == topic]
        rows = np.flatnonzero(np.isin(self.columns["source"][: self.columns.count], of_topic))
        self.columns["arrived"][rows] = 0
        self.columns.touch(rows)

    def keep_time(self, begin_ms: int, step_ms: int) -> None:
        """In a replay every sample arrives at its event time, however few ticks there were since listening began: what
        it notes is the tick before it, had there been one every `step_ms`."""
        latest = self.columns["latest"][: self.columns.count]
        self.columns["arrived"][: self.columns.count] = ((latest - 1) // step_ms + 1) * step_ms - begin_ms

    def now_ms(self, listened_ms: dict[str, int]) -> Ints:
        """By number: where a series' event time would stand, had it gone on since its last sample as time did."""
        count = self.columns.count
        by_source = np.array([*(listened_ms.get(topic, 0) for topic, _ in self.sources), 0], np.int64)
        arrived = self.columns["arrived"][:count]
        silent = np.maximum(by_source[self.columns["source"][:count]] - arrived, 0)
        return np.asarray(self.columns["latest"][:count] + np.where(arrived == _NOW, 0, silent))

    def idle(self, listened_ms: dict[str, int], forget_ms: int) -> Ints:
        """Series from which nothing came for so long that they may be forgotten."""
        latest = self.columns["latest"][: self.columns.count]
        return np.flatnonzero((latest > UNSEEN_MS) & (self.now_ms(listened_ms) - latest >= forget_ms))

    def changed_entries(self) -> Iterator[tuple[str, bytes]]:
        """Entries for a checkpoint: of chunks that changed, what is noted of their series, and what names them."""
        for chunk in range(-(-self.columns.count // CHUNK)):
            first = chunk * CHUNK
            if self.columns.dirty[chunk]:
                yield f"series/{chunk}", msgspec.msgpack.encode(self.columns.pack(chunk))
            if chunk in self._renamed:
                names = self.keys[first : first + CHUNK], self.units[first : first + CHUNK]
                yield f"names/{chunk}", msgspec.msgpack.encode(names)
        self.clear_notes()

    def clear_notes(self) -> None:
        """Nothing has changed since now."""
        self.columns.dirty[:] = False
        self._renamed.clear()

    def unpack(self, chunk: int, value: bytes, names: bytes) -> None:
        """Put the entries of a chunk in place; chunks come in order."""
        self.columns.unpack(chunk, msgspec.msgpack.decode(value))
        first = chunk * CHUNK
        for number in (np.flatnonzero(self.columns["arrived"][first : self.columns.count] == _NOW) + first).tolist():
            self._came.setdefault(int(self.columns["source"][number]), []).append(np.array([number]))
        keys: list[bytes | None]
        keys, units = msgspec.msgpack.decode(names)
        self.keys += keys
        self.units += units
        self.free += [number for number, key in enumerate(keys, first) if key is None]
        known = [number for number, key in enumerate(keys, first) if key is not None]
        identities = b"".join([series_id(key) for key in keys if key is not None])
        self._numbering.put(names_of(identities), np.array(known, np.int64))

    def describe(self, number: int) -> tuple[str, dict[str, str]]:
        """Metric name and labels of a series."""
        key = self.keys[number]
        assert key is not None, f"series {number} is free"
        name, labels = _parsed(key)
        return name, dict(labels)

    def of_metric(self, name: str) -> list[int]:
        """Every number that is in use for a series of a metric."""
        bare, labelled = series_key(name, {}), series_key(name, {}) + SEPARATOR
        return [n for n, key in enumerate(self.keys) if key is not None and (key == bare or key.startswith(labelled))]

    def all(self) -> list[int]:
        """Every number that is in use."""
        return [number for number, key in enumerate(self.keys) if key is not None]


@lru_cache(maxsize=4_096)
def _parsed(key: bytes) -> tuple[str, tuple[tuple[str, str], ...]]:
    name, labels = parse_series_key(key)
    return name, tuple(labels.items())
