"""Ingest's step: runs of messages of one source partition in, frames for the samples partitions and rejects out."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from tocsin.engine.frame import Frame, Ints
from tocsin.engine.ingest.columns import Codec, Columns
from tocsin.engine.ingest.framing import Flags, Placed, frames
from tocsin.engine.ingest.interning import Interner
from tocsin.engine.memory_log import LogRecord
from tocsin.schemas.dead_letter import Header
from tocsin.schemas.instant import MAX_MS
from tocsin.schemas.metric import Reject

Headers = Sequence[Header]
UNSEEN_MS = -(2**62)  # below every event time


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive messages of one source partition. `keys`, `times_ms` (Kafka's timestamps) and `headers`, where there
    are any, go with `values`."""

    topic: str
    partition: int
    offsets: Sequence[int]
    times_ms: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers] = ()

    @classmethod
    def of(cls, topic: str, partition: int, records: Sequence[LogRecord]) -> Self:
        """Records of a log in memory."""
        offsets, keys, values, times_ms = zip(*records, strict=True)
        return cls(topic, partition, offsets, times_ms, keys, values)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What is no sample: where it lay, why, and what it was."""

    topic: str
    partition: int
    offset: int
    reject: Reject
    key: bytes | None
    value: bytes
    at_ms: int | None = None
    headers: Headers = ()


@dataclass(slots=True)
class Ingested:
    """Frames by samples partition in source order, dead letters, the number of samples taken, and how far they reach.

    `highest_ms` is the highest event time, but at most the run's clock: a producer whose clock is ahead must not make
    the samples of all others late.
    """

    frames: dict[int, list[Frame]] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    samples: int = 0
    highest_ms: int = UNSEEN_MS


class Reading:
    """Consecutive runs of one source partition, read one after the other and cut into frames together: then messages
    can be decoded few at a time, while they lie in the processor's cache, and frames are large all the same."""

    def __init__(self, interner: Interner, source: tuple[str, int], clock_ms: int, max_ahead_ms: int) -> None:
        """`interner` is a cache that never changes an outcome; it must not forget before the frames are cut."""
        if interner.is_full:
            interner.forget()
        self._interner, self._source = interner, source
        self._clock_ms, self._latest_ms = clock_ms, clock_ms + max_ahead_ms
        self._parts: list[Placed] = []
        self._done = Ingested()

    def read(self, run: Run, decode: Codec) -> None:
        """Decode one run."""
        messages = [value for value in run.values if value is not None]
        columns = decode(messages)
        if len(messages) < len(run.values):
            kept = [index for index, value in enumerate(run.values) if value is not None]
            for index in set(range(len(run.values))) - set(kept):
                self._bury(run, index, Reject("tombstone", "the message has no value"), b"")
            _renumber(columns, kept)
        for unread in columns.unread:
            self._bury(run, unread.message, unread.reject, unread.value)
        if columns.values:
            self._place(run, columns)

    def bury(self, dead: DeadLetter) -> None:
        """Something that is no run."""
        self._done.dead.append(dead)

    def cut(self) -> Ingested:
        """What all that was read comes to; there is nothing more to be read then."""
        if self._parts:
            samples = Placed.join(self._parts)
            self._done.frames = frames(self._interner.glossaries, self._source, self._clock_ms, samples)
        return self._done

    def _bury(self, run: Run, index: int, reject: Reject, value: bytes) -> None:
        headers = run.headers[index] if run.headers else ()
        message = run.keys[index], value, run.times_ms[index], headers
        self.bury(DeadLetter(run.topic, run.partition, run.offsets[index], reject, *message))

    def _place(self, run: Run, columns: Columns) -> None:
        number = self._interner.numbers(columns)
        at_ms, usable = _times(run, columns, self._latest_ms)
        values = np.array(columns.values, np.float64)
        target, place = self._interner.partition[number], self._interner.place[number]
        usable &= target >= 0
        offset, keyed = _offsets(run), _keyed(run)
        if columns.message is not None:
            message = np.frombuffer(columns.message, np.int64)
            offset, keyed = offset[message], keyed if isinstance(keyed, bool) else keyed[message]
        placed = Placed(target, place, at_ms, values, offset, keyed)
        if not usable.all():
            self._reject_some(run, columns, number, np.flatnonzero(~usable))
            placed = placed.take(usable)
        if len(placed):
            self._parts.append(placed)
            self._done.samples += len(placed)
            self._done.highest_ms = max(self._done.highest_ms, min(int(placed.at_ms.max()), self._clock_ms))

    def _reject_some(self, run: Run, columns: Columns, number: Ints, refused: Ints) -> None:
        """One dead letter for each message: an array of bad samples must not be written out once for each of them."""
        first: dict[int, Reject] = {}
        more: Counter[int] = Counter()
        for index in refused.tolist():
            message = index if columns.message is None else columns.message[index]
            more[message] += 1
            if message in first:
                continue
            reject = self._interner.rejects.get(int(number[index]))
            if reject is None:
                stamp = columns.timestamps[index]
                reject = Reject("timestamp", f"{stamp} lies before 1970 or too far ahead of the clock")
            first[message] = reject
        for message, reject in first.items():
            if more[message] > 1:
                reject = Reject(reject.reason, f"{reject.detail}; {more[message] - 1} more samples of it were refused")
            self._bury(run, message, reject, run.values[message] or b"")


def step(interner: Interner, run: Run, decode: Codec, clock_ms: int, max_ahead_ms: int) -> Ingested:
    """Decode one run and cut it into frames."""
    reading = Reading(interner, (run.topic, run.partition), clock_ms, max_ahead_ms)
    reading.read(run, decode)
    return reading.cut()


def _renumber(columns: Columns, kept: list[int]) -> None:
    columns.message = array("q", kept if columns.message is None else [kept[index] for index in columns.message])
    for unread in columns.unread:
        unread.message = kept[unread.message]


def _offsets(run: Run) -> Ints:
    if isinstance(run.offsets, range):
        return np.arange(run.offsets.start, run.offsets.stop, dtype=np.int64)
    return np.array(run.offsets, np.int64)


def _keyed(run: Run) -> bool | Flags:
    """Whether messages have a key: all of them or none, as nearly everywhere, else one by one."""
    if all(run.keys):
        return True
    unkeyed = run.keys.count(None)
    if unkeyed in (0, len(run.keys)):
        return not unkeyed
    return np.array([key is not None for key in run.keys])


def _times(run: Run, columns: Columns, latest_ms: int) -> tuple[Ints, Flags]:
    """Event times, and which of them are believable."""
    stamps = columns.timestamps
    if columns.plain_timestamps:
        try:
            at_ms = np.array(stamps, np.int64)
        except OverflowError:
            at_ms = np.array([min(max(stamp or 0, -1), MAX_MS + 1) for stamp in stamps], np.int64)
    else:
        owners = columns.message if columns.message is not None else range(len(stamps))
        at_ms = np.array(
            [
                run.times_ms[owner] if stamp is None else min(max(stamp, -1), MAX_MS + 1)
                for owner, stamp in zip(owners, stamps, strict=True)
            ],
            np.int64,
        )
    return at_ms, (at_ms >= 0) & (at_ms <= latest_ms)
