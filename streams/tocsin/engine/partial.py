"""What lies on `tocsin.partials`: the shares that samples partitions have in groups of series, and how far they are.

A group's series lie on all samples partitions. Each partition sends what its series come to, pane by pane, when its
watermark has passed the pane; the partition of `partials` that a group belongs to puts the shares together. Each
source numbers what it sends: what comes again after a crash has the numbers it had, and is passed over.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from tocsin.engine.frame import Ints
from tocsin.schemas.labels import parse_series_key, series_id, series_key
from tocsin.schemas.signal import SERIES_LIMIT

MemberState = Literal["firing", "rest", "no data"]


class Panes(msgspec.Struct, array_like=True, tag="p", frozen=True):
    """n panes of one lane: `groups` n uint32 indexes into `keys`, `starts` n int64, and each figure's array, flat.

    A figure that some rule asked for only after a pane had begun is not there.
    """

    source: str
    sequence: int
    lane: str
    keys: list[bytes]
    groups: bytes
    starts: bytes
    figures: dict[str, tuple[str, bytes]]  # name -> (dtype, values)

    def figure(self, name: str, rows: int) -> NDArray[Any]:
        """One figure as n rows, of a width that follows from its length."""
        kind, values = self.figures[name]
        array = np.frombuffer(values, kind)
        return array.reshape(rows, -1) if len(array) != rows else array

    def homes(self, partitions: int) -> Ints:
        """The partition that each key belongs to."""
        return np.array([home_of(key, partitions) for key in self.keys], np.int64)

    def part(self, keys: Ints, rows: Ints, groups: Ints) -> Self:
        """Some keys and some rows: `groups` are the indexes of these into those."""
        starts = np.frombuffer(self.starts, np.int64)
        figures = {name: self.figure(name, len(starts))[rows] for name in self.figures}
        return msgspec.structs.replace(
            self,
            keys=[self.keys[key] for key in keys.tolist()],
            groups=indexes(groups),
            starts=starts[rows].tobytes(),
            figures=flat(figures),
        )

    def is_whole(self) -> bool:
        """Whether all columns have lengths that go together, and point to where something is."""
        rows = len(self.starts) // 8
        if not rows or len(self.starts) != 8 * rows:
            return False
        if not _are_indexes(self.groups, rows, len(self.keys)) or not _are_keys(self.keys):
            return False
        try:
            widths = [len(np.frombuffer(values, kind)) % rows for kind, values in self.figures.values()]
        except (ValueError, TypeError):
            return False
        return not any(widths)


class Members(Panes, array_like=True, tag="m", frozen=True):
    """Panes of single series: those under `keys`, with `units`, are members of the groups under `owners`, by the uint32
    indexes `owned`. They go to where these groups belong."""

    units: list[str | None]
    owners: list[bytes]
    owned: bytes

    def homes(self, partitions: int) -> Ints:
        """See Panes."""
        of_owners = np.array([home_of(key, partitions) for key in self.owners], np.int64)
        return np.asarray(of_owners[np.frombuffer(self.owned, np.uint32)])

    def part(self, keys: Ints, rows: Ints, groups: Ints) -> Self:
        """See Panes."""
        used, owned = np.unique(np.frombuffer(self.owned, np.uint32)[keys], return_inverse=True)
        return msgspec.structs.replace(
            super().part(keys, rows, groups),
            units=[self.units[key] for key in keys.tolist()],
            owners=[self.owners[owner] for owner in used.tolist()],
            owned=indexes(owned),
        )

    def is_whole(self) -> bool:
        """See Panes."""
        members = len(self.keys)
        are_owned = _are_indexes(self.owned, members, len(self.owners)) and len(self.units) == members
        return are_owned and _are_keys(self.owners) and super().is_whole()


class Change(msgspec.Struct, array_like=True, tag="c", frozen=True):
    """An alert that a composite looks at began or ended; `key` is the composite's group.

    Signals of one alert are in order, those of several are not, so `order` is that of its signal, and `sequence` only
    the number of what its source sends next. `rules_offset` is that of the plan by which it looked.
    """

    source: str
    sequence: int
    rules_offset: int
    lane: str
    key: bytes
    rule_id: str
    fingerprint: str
    order: tuple[int, int, int]
    at_ms: int
    state: MemberState


class Progress(msgspec.Struct, array_like=True, tag="q", frozen=True):
    """Everything of this source before `watermark_ms` was sent; `sources` is how many there are."""

    source: str
    sequence: int
    sources: int
    clock_ms: int
    rules_offset: int
    watermark_ms: int
    listened_ms: int


class MetLimit(msgspec.Struct, array_like=True, frozen=True):
    """A rule watches the `most` series of a metric that it may, and `number` more were turned away, since some time.

    Without a rule's id it is the limit of all rules together. `told` are names of channels.
    """

    rule_id: str
    metric: str
    most: int
    number: int
    since_ms: int
    told: tuple[str, ...]

    @property
    def key(self) -> bytes:
        """What is said of one limit meets at one place."""
        return series_key(SERIES_LIMIT, {"rule_id": self.rule_id})


class Limits(msgspec.Struct, array_like=True, tag="l", frozen=True):
    """All limits that are met at a source; those it named before and does not any more are not."""

    source: str
    sequence: int
    clock_ms: int
    met: tuple[MetLimit, ...]


Partial = Panes | Members | Change | Progress | Limits
_decoder: Final = msgspec.msgpack.Decoder(Partial)
_encoder: Final = msgspec.msgpack.Encoder()


class DamagedPartial(ValueError):
    """A record on the partials topic that is none."""


def encode(item: Partial) -> bytes:
    """A record as it lies on the topic."""
    return _encoder.encode(item)


def decode(value: bytes) -> Partial:
    """Read a record of the partials topic; raises DamagedPartial."""
    try:
        found: Partial = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedPartial(f"not a partial: {error}") from None
    if isinstance(found, Panes) and not found.is_whole():
        raise DamagedPartial("its columns do not go together")
    return found


def _are_indexes(values: bytes, count: int, beyond: int) -> bool:
    return len(values) == 4 * count and int(np.frombuffer(values, np.uint32).max(initial=0)) < beyond


def _are_keys(keys: Sequence[bytes]) -> bool:
    try:
        for key in keys:
            parse_series_key(key)
    except ValueError:
        return False
    return True


def spread(item: Partial, partitions: int) -> dict[int, Partial]:
    """What each partition of the topic is to get: groups by their key, and progress everywhere."""
    if isinstance(item, Progress):
        return dict.fromkeys(range(partitions), item)
    if isinstance(item, Change):
        return {home_of(item.key, partitions): item}
    if isinstance(item, Limits):
        homes_of_met = [(home_of(one.key, partitions), one) for one in item.met]
        return {
            at: msgspec.structs.replace(item, met=tuple(one for home, one in homes_of_met if home == at))
            for at in range(partitions)
        }
    homes, groups = item.homes(partitions), np.frombuffer(item.groups, np.uint32)
    found: dict[int, Partial] = {}
    for home in np.unique(homes).tolist():
        keys = np.flatnonzero(homes == home)
        rows = np.flatnonzero(homes[groups] == home)
        place = np.zeros(len(homes), np.int64)
        place[keys] = np.arange(len(keys))
        found[home] = item.part(keys, rows, place[groups[rows]])
    return found


def home_of(key: bytes, partitions: int) -> int:
    """The partition that a group belongs to."""
    return int.from_bytes(series_id(key)[:8], "little") % partitions


def flat(figures: Mapping[str, NDArray[Any]]) -> dict[str, tuple[str, bytes]]:
    """Figures as they lie in a record."""
    return {name: (array.dtype.str, array.tobytes()) for name, array in figures.items()}


def indexes(values: Ints) -> bytes:
    """Small numbers as uint32."""
    return values.astype(np.uint32).tobytes()
