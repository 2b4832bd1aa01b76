"""What lies on `tocsin.partials`: the shares that samples partitions have in groups of series, and how far they are.

A group's series lie on all samples partitions. Each partition sends what its series come to, pane by pane, when its
watermark has passed the pane; the partition of `partials` that a group belongs to puts the shares together. Each
source numbers what it sends: what comes again after a crash has the numbers it had, and is passed over.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

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


Partial = Panes | Change | Progress | Limits
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
    if isinstance(found, Panes) and not _is_whole(found):
        raise DamagedPartial("its columns do not go together")
    return found


def _is_whole(panes: Panes) -> bool:
    """Whether all columns have lengths that go together, and point to where something is."""
    rows = len(panes.starts) // 8
    if not rows or len(panes.starts) != 8 * rows or len(panes.groups) != 4 * rows:
        return False
    if int(np.frombuffer(panes.groups, np.uint32).max()) >= len(panes.keys):
        return False
    try:
        for key in panes.keys:
            parse_series_key(key)
        widths = [len(np.frombuffer(values, kind)) % rows for kind, values in panes.figures.values()]
    except (ValueError, TypeError):
        return False
    return not any(widths)


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
    homes = np.array([home_of(key, partitions) for key in item.keys], np.int64)
    groups, starts = np.frombuffer(item.groups, np.uint32), np.frombuffer(item.starts, np.int64)
    found: dict[int, Partial] = {}
    for home in np.unique(homes).tolist():
        keys = np.flatnonzero(homes == home)
        rows = np.flatnonzero(homes[groups] == home)
        place = np.zeros(len(homes), np.int64)
        place[keys] = np.arange(len(keys))
        figures = {name: item.figure(name, len(starts))[rows] for name in item.figures}
        found[home] = msgspec.structs.replace(
            item,
            keys=[item.keys[key] for key in keys.tolist()],
            groups=indexes(place[groups[rows]]),
            starts=starts[rows].tobytes(),
            figures=flat(figures),
        )
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
