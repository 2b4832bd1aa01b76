"""Samples of one source partition, in columns, cut into frames for the samples partitions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.frame import Floats, Frame, Ints
from tocsin.engine.ingest.interning import Glossary, Interner

Flags = NDArray[np.bool_]
_SPARSE = 64  # so many places for each sample are gone through faster than the samples are sorted
_COLUMNS = ("target", "place", "at_ms", "values", "offset")


@dataclass(frozen=True, slots=True)
class Placed:
    """n samples in source order: the samples partition that each belongs to, the place of its series in the glossary of
    that, event time, value and source offset; whether its message had a key, all or each."""

    target: NDArray[np.int32]
    place: Ints
    at_ms: Ints
    values: Floats
    offset: Ints
    keyed: bool | Flags

    def __len__(self) -> int:
        return len(self.target)

    def take(self, chosen: Flags) -> Self:
        """Some of them."""
        keyed = self.keyed if isinstance(self.keyed, bool) else self.keyed[chosen]
        return type(self)(**{name: getattr(self, name)[chosen] for name in _COLUMNS}, keyed=keyed)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """All of several, in order."""
        if len(parts) == 1:
            return parts[0]
        kinds = {part.keyed if isinstance(part.keyed, bool) else None for part in parts}
        keyed: bool | Flags | None = kinds.pop() if len(kinds) == 1 else None
        if keyed is None:
            keyed = np.concatenate([np.broadcast_to(part.keyed, len(part)) for part in parts])
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}, keyed=keyed)


def frames(
    glossaries: Sequence[Glossary], source: tuple[str, int], clock_ms: int, samples: Placed
) -> dict[int, list[Frame]]:
    """Frames by samples partition, in source order: one, or one for each stretch of messages with or without keys."""
    return {
        target: [
            _frame(glossaries[target], source, clock_ms, samples, has_key, chosen)
            for has_key, chosen in _stretches(np.flatnonzero(samples.target == target), samples.keyed)
        ]
        for target in np.flatnonzero(np.bincount(samples.target)).tolist()
    }


def pack(
    interner: Interner, source: tuple[str, int], clock_ms: int, number: Ints, at_ms: Ints, values: Floats, offset: Ints
) -> dict[int, Frame]:
    """Frames of samples whose spellings are known by number and need no decoding, all of them with a key."""
    target = interner.partition[number]
    samples = Placed(target, interner.place[number], at_ms, values, offset, keyed=True).take(target >= 0)
    return {target: one for target, (one,) in frames(interner.glossaries, source, clock_ms, samples).items()}


def _stretches(chosen: Ints, keyed: bool | Flags) -> list[tuple[bool, Ints]]:
    """Samples in stretches of one kind, so that a frame says of each what is true wherever a run is cut."""
    if isinstance(keyed, bool):
        return [(keyed, chosen)]
    kinds = keyed[chosen]
    cuts = np.flatnonzero(kinds[1:] != kinds[:-1]) + 1
    return list(zip(kinds[np.append(0, cuts)].tolist(), np.split(chosen, cuts), strict=True))


def _frame(
    glossary: Glossary, source: tuple[str, int], clock_ms: int, samples: Placed, keyed: bool, chosen: Ints
) -> Frame:
    present, series = _ranked(samples.place[chosen], glossary.count)
    ids, ends, keys = glossary.excerpt(present)
    offset = samples.offset[chosen]
    base = int(offset[0])
    return Frame(
        topic=source[0],
        partition=source[1],
        clock_ms=clock_ms,
        keyed=keyed,
        base_offset=base,
        ids=ids,
        key_ends=ends,
        keys=keys,
        series=series.tobytes(),
        at_ms=samples.at_ms[chosen].tobytes(),
        values=samples.values[chosen].tobytes(),
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
