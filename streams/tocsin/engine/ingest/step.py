"""Ingest's step: a run of messages of one source partition in, frames for the samples partitions and rejects out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.frame import Floats, Frame, Ints
from tocsin.engine.ingest.columns import Codec, Columns
from tocsin.engine.ingest.interning import Glossary, Interner
from tocsin.engine.memory_log import LogRecord
from tocsin.schemas.dead_letter import Header
from tocsin.schemas.instant import MAX_MS
from tocsin.schemas.metric import Reject

Flags = NDArray[np.bool_]
Headers = Sequence[Header]
Places = NDArray[np.intp]
UNSEEN_MS = -(2**62)  # below every event time
_SPARSE = 64  # so many places for each sample are gone through faster than the samples are sorted


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


def step(interner: Interner, run: Run, decode: Codec, clock_ms: int, max_ahead_ms: int) -> Ingested:
    """Decode a run and cut it into frames. Pure but for `interner`, a cache that never changes an outcome."""
    done = Ingested()
    offsets = np.array(run.offsets, np.int64)
    values, kept = run.values, None
    if None in values:
        kept = [index for index, value in enumerate(values) if value is not None]
        for index in set(range(len(values))) - set(kept):
            _bury(done, run, index, Reject("tombstone", "the message has no value"), b"")
    messages = [value for value in values if value is not None]
    columns = decode(messages)
    if kept is not None:
        _renumber(columns, kept)
    for unread in columns.unread:
        _bury(done, run, unread.message, unread.reject, unread.value)
    if columns.values:
        _into_frames(done, interner, run, columns, offsets, clock_ms, max_ahead_ms)
    return done


def pack(
    interner: Interner, source: tuple[str, int], clock_ms: int, number: Ints, at_ms: Ints, values: Floats, offset: Ints
) -> dict[int, Frame]:
    """Frames of samples whose spellings are known by number and need no decoding, as `step` would cut them."""
    run = Run(*source, (), (), (), ())
    partition = interner.partition[number]
    found = {}
    for target in np.unique(partition[partition >= 0]).tolist():
        chosen = np.flatnonzero(partition == target)
        place = interner.place[number[chosen]]
        glossary = interner.glossaries[target]
        found[target] = _frame(glossary, run, True, clock_ms, place, at_ms[chosen], values[chosen], offset[chosen])
    return found


def _renumber(columns: Columns, kept: list[int]) -> None:
    columns.message = kept if columns.message is None else [kept[index] for index in columns.message]
    for unread in columns.unread:
        unread.message = kept[unread.message]


def _bury(done: Ingested, run: Run, index: int, reject: Reject, value: bytes) -> None:
    headers = run.headers[index] if run.headers else ()
    message = run.keys[index], value, run.times_ms[index], headers
    done.dead.append(DeadLetter(run.topic, run.partition, run.offsets[index], reject, *message))


def _into_frames(
    done: Ingested, interner: Interner, run: Run, columns: Columns, offsets: Ints, clock_ms: int, max_ahead_ms: int
) -> None:
    if interner.is_full:
        interner.forget()
    number = interner.numbers(columns)
    at_ms, usable = _times(run, columns, clock_ms + max_ahead_ms)
    values = np.array(columns.values, np.float64)
    partition = interner.partition[number]
    usable &= partition >= 0
    offset = offsets if columns.message is None else offsets[np.array(columns.message, np.int64)]
    if not usable.all():
        _reject_some(done, interner, run, columns, number, np.flatnonzero(~usable))
        number, at_ms, values = number[usable], at_ms[usable], values[usable]
        partition, offset = partition[usable], offset[usable]
    if not len(number):
        return
    done.samples = len(number)
    done.highest_ms = min(int(at_ms.max()), clock_ms)
    keyed = _keyed(run)
    place = interner.place[number]
    for target in np.flatnonzero(np.bincount(partition)).tolist():
        chosen = np.flatnonzero(partition == target)
        glossary = interner.glossaries[target]
        done.frames[target] = [
            _frame(glossary, run, has_key, clock_ms, place[part], at_ms[part], values[part], offset[part])
            for has_key, part in _stretches(chosen, keyed, offsets, offset)
        ]


def _keyed(run: Run) -> bool | Flags:
    """Whether messages have a key: all of them or none, as nearly everywhere, else one by one."""
    unkeyed = run.keys.count(None)
    if unkeyed in (0, len(run.keys)):
        return not unkeyed
    return np.array([key is not None for key in run.keys])


def _stretches(chosen: Places, keyed: bool | Flags, offsets: Ints, offset: Ints) -> list[tuple[bool, Places]]:
    """Samples in stretches of one kind, so that a frame says of each what is true wherever a run is cut."""
    if isinstance(keyed, bool):
        return [(keyed, chosen)]
    kinds = keyed[np.searchsorted(offsets, offset[chosen])]
    cuts = np.flatnonzero(kinds[1:] != kinds[:-1]) + 1
    return list(zip(kinds[np.append(0, cuts)].tolist(), np.split(chosen, cuts), strict=True))


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


def _reject_some(done: Ingested, interner: Interner, run: Run, columns: Columns, number: Ints, refused: Places) -> None:
    """One dead letter for each message: an array of bad samples must not be written out once for each of them."""
    first: dict[int, Reject] = {}
    more: Counter[int] = Counter()
    for index in refused.tolist():
        message = index if columns.message is None else columns.message[index]
        more[message] += 1
        if message in first:
            continue
        reject = interner.rejects.get(int(number[index]))
        if reject is None:
            reject = Reject("timestamp", f"{columns.timestamps[index]} lies before 1970 or too far ahead of the clock")
        first[message] = reject
    for message, reject in first.items():
        if more[message] > 1:
            reject = Reject(reject.reason, f"{reject.detail}; {more[message] - 1} more samples of it were refused")
        _bury(done, run, message, reject, run.values[message] or b"")


def _frame(
    glossary: Glossary,
    run: Run,
    keyed: bool,
    clock_ms: int,
    place: Ints,
    at_ms: Ints,
    values: Floats,
    offset: Ints,
) -> Frame:
    present, series = _ranked(place, glossary.count)
    ids, ends, keys = glossary.excerpt(present)
    base = int(offset[0])
    return Frame(
        topic=run.topic,
        partition=run.partition,
        clock_ms=clock_ms,
        keyed=keyed,
        base_offset=base,
        ids=ids,
        key_ends=ends,
        keys=keys,
        series=series.tobytes(),
        at_ms=at_ms.tobytes(),
        values=values.tobytes(),
        offsets=(offset - base).astype(np.uint32).tobytes(),
    )


def _ranked(place: Ints, count: int) -> tuple[Ints, NDArray[np.uint32]]:
    """Which of `count` places occur, rising, and the rank of each among these."""
    if count > _SPARSE * len(place):
        present, ranks = np.unique(place, return_inverse=True)
        return present, ranks.astype(np.uint32)
    occurs = np.zeros(count, bool)
    occurs[place] = True
    present = np.flatnonzero(occurs)
    rank = np.empty(count, np.uint32)
    rank[present] = np.arange(len(present), dtype=np.uint32)
    return present, rank[place]
