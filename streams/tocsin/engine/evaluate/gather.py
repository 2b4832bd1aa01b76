"""The share that this samples partition has in groups of series, sent on pane by pane behind the watermark."""

import heapq
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from tocsin.engine.evaluate.instants import in_order
from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.engine.evaluate.lane import FREE, Lane
from tocsin.engine.evaluate.pane_rows import PaneRows
from tocsin.engine.evaluate.plan import Judged, LaneSpec
from tocsin.engine.evaluate.points import segments
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.evaluate.statistic import Run
from tocsin.engine.frame import Floats, Ints
from tocsin.engine.partial import Panes, flat, indexes
from tocsin.schemas.labels import series_key
from tocsin.schemas.signal import Signal


class GroupNumbers:
    """Small numbers for the groups that series of this lane belong to, and how many series each has."""

    def __init__(self) -> None:
        self.keys: list[bytes | None] = []  # None: a number that is free
        self.members: list[int] = []
        self._numbers: dict[bytes, int] = {}
        self._free: list[int] = []
        self.empty: set[int] = set()  # groups without series, whose last panes may still be open

    def join(self, key: bytes) -> int:
        """One more series of a group."""
        number = self._numbers.get(key)
        if number is None:
            if self._free:
                number = heapq.heappop(self._free)  # the smallest, so that a restored lane goes on alike
                self.keys[number], self.members[number] = key, 0
            else:
                number = len(self.keys)
                self.keys.append(key)
                self.members.append(0)
            self._numbers[key] = number
        self.members[number] += 1
        self.empty.discard(number)
        return number

    def leave(self, number: int) -> None:
        """One series less."""
        self.members[number] -= 1
        if not self.members[number]:
            self.empty.add(number)

    def forget(self, number: int) -> None:
        """A group that is empty, and of which nothing is left to be sent."""
        key = self.keys[number]
        assert key is not None
        del self._numbers[key]
        self.keys[number] = None
        self.empty.discard(number)
        heapq.heappush(self._free, number)

    def restore(self, keys: list[bytes | None], groups: Ints) -> None:
        """As it was: `keys`, and the group of each series."""
        self.keys = keys
        self.members = np.bincount(groups, minlength=len(keys)).tolist()
        self._numbers = {key: number for number, key in enumerate(keys) if key is not None}
        self._free = [number for number, key in enumerate(keys) if key is None]
        self.empty = {number for number in self._numbers.values() if not self.members[number]}


class GatherLane(Lane):
    """`group` is each slot's group, `value` its last value. Panes before `closed_ms` were sent."""

    spec: LaneSpec

    def __init__(self, spec: LaneSpec, judged: Judged, series: SeriesTable) -> None:
        assert spec.window is not None
        assert spec.group_by is not None
        self.hop = spec.window.hop_ms
        self.closed_ms = 0
        self.groups = GroupNumbers()
        super().__init__(spec, judged, series, {"group": ("i8", 0, FREE), "value": ("f8", 0, np.nan)})
        self._group_by = spec.group_by
        self._panes = PaneRows(self.aggregates, self.hop)

    def _judge(self, judged: Judged) -> None:
        """Nothing is judged here."""
        super()._judge({})
        self.sources = {key: source for key, (source, _) in judged.items()}
        self._versions = [version for _, versions in judged.values() for version in versions]

    def adopt(self, judged: Judged) -> None:
        """See Lane; rules that ask for other figures begin with the panes that are new then."""
        super().adopt(judged)
        self._panes = self._panes.asked_for(self.aggregates)

    def admit(self, numbers: Ints) -> None:
        """See Lane."""
        super().admit(numbers)
        self.columns["group"][self.slots(numbers)] = [self._join(number) for number in numbers.tolist()]

    def _join(self, number: int) -> int:
        _, labels = self.series.describe(number)
        return self.groups.join(self._key(labels))

    def _key(self, labels: Mapping[str, str]) -> bytes:
        return series_key("", {name: labels.get(name, "") for name in self._group_by})

    def dismiss(self, number: int) -> None:
        """See Lane."""
        self._leave(number)
        self._forget_empty()

    def _leave(self, number: int) -> None:
        slot = self.slot_of(number)
        if slot != FREE:
            self.groups.leave(int(self.columns["group"][slot]))
        super().dismiss(number)

    def _forget_empty(self) -> None:
        if self.groups.empty:
            open_panes = {group for start in self._panes.starts() for group in self._panes.groups_at(start).tolist()}
            for number in sorted(self.groups.empty - open_panes):
                self._forget(number)

    def _forget(self, number: int) -> None:
        self.groups.forget(number)

    def take(self, samples: Samples, out: list[Signal]) -> None:
        """See Lane. Only where growth is asked for must the samples of a series be in order."""
        slots, samples = in_order(self, samples) if self.spec.in_order else self._watched(samples)
        if not len(slots):
            return
        before = self._predecessors(slots, samples) if self.spec.in_order else None
        starts = samples.at_ms - samples.at_ms % self.hop
        late = starts < self.closed_ms
        if late.any():
            self.note_late(samples.take(late))
            slots, samples, starts = slots[~late], samples.take(~late), starts[~late]
            before = None if before is None else before[~late]
            if not len(slots):
                return
        self._fold(self.columns["group"][slots], starts, samples, before)

    def _watched(self, samples: Samples) -> tuple[Ints, Samples]:
        slots = self.slots(samples.series)
        watched = slots != FREE
        return (slots, samples) if watched.all() else (slots[watched], samples.take(watched))

    def _fold(self, groups: Ints, starts: Ints, samples: Samples, before: Floats | None) -> None:
        """Add samples to their panes: those of one pane of one group side by side, in whatever order."""
        low = int(starts.min())
        places = groups * ((int(starts.max()) - low) // self.hop + 1) + (starts - low) // self.hop
        order = np.argsort(places.astype(np.uint16) if places.max() < 2**16 else places, kind="stable")
        places = places[order]
        change = np.concatenate(([True], places[1:] != places[:-1]))
        first = np.flatnonzero(change)
        run = Run(
            samples.at_ms[order],
            samples.values[order] + 0.0,  # of two zeros of either sign none is the lower
            np.cumsum(change) - 1,
            first,
            None if before is None else before[order],
        )
        self._panes.fold(self._panes.place(groups[order[first]], starts[order[first]]), run)

    def _predecessors(self, slots: Ints, samples: Samples) -> Floats:
        """The value before each sample in its series, NaN before the first."""
        begins = segments(slots)
        unique = slots[begins[:-1]]
        before = np.concatenate(([np.nan], samples.values[:-1]))
        before[begins[:-1]] = self.columns["value"][unique]
        self.columns["value"][unique] = samples.values[begins[1:] - 1]
        return before

    def versions(self) -> list[RuleVersion]:
        """See Lane."""
        return self._versions

    def is_due(self, watermark_ms: int) -> bool:
        """Whether there is a pane that the watermark has passed."""
        starts = self._panes.starts()
        return bool(starts) and starts[0] + self.hop + self.spec.lateness_ms <= watermark_ms

    def close(self, watermark_ms: int, source: str, sequence: int) -> list[Panes]:
        """The panes that the watermark has passed, to be sent on."""
        until = (watermark_ms - self.spec.lateness_ms) // self.hop * self.hop
        if until <= self.closed_ms:
            return []
        self.closed_ms = until
        found: list[Panes] = []
        for start in self._panes.starts():
            if start + self.hop > until:
                break
            found += self._sent(start, source, sequence + len(found))
            self._panes.drop(start)
        self._forget_empty()
        return found

    def _sent(self, start: int, source: str, sequence: int) -> list[Panes]:
        return [self._share(start, self._panes.groups_at(start), source, sequence)]

    def _share(self, start: int, groups: Ints, source: str, sequence: int) -> Panes:
        """What some groups come to in a pane."""
        panes = self._panes
        complete = [one for name, one in panes.statistics.items() if panes.is_complete(name, start)]
        names = [name for statistic in complete for name in statistic.figures]
        keys = [key for group in groups.tolist() if (key := self.groups.keys[group]) is not None]
        assert len(keys) == len(groups), "a group was forgotten before its panes were sent"
        return Panes(
            source,
            sequence,
            self.spec.key,
            keys,
            indexes(np.arange(len(groups))),
            np.full(len(groups), start, np.int64).tobytes(),
            flat(panes.figures(panes.rows_at(start, groups), names)),
        )

    def is_at_rest(self, number: int) -> bool:
        """See Lane."""
        return True

    def pack_whole(self) -> bytes:
        """See Lane."""
        whole = {"closed_ms": self.closed_ms, "keys": self.groups.keys, "panes": self._panes.pack()}
        return msgspec.msgpack.encode(whole)

    def unpack_whole(self, value: bytes) -> None:
        """See Lane."""
        whole: dict[str, Any] = msgspec.msgpack.decode(value)
        self.closed_ms = whole["closed_ms"]
        self.groups.restore(whole["keys"], self.columns["group"][self.occupied()])
        self._panes.unpack(whole["panes"])
