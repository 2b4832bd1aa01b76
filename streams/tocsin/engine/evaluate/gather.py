"""The share that this samples partition has in groups of series, sent on pane by pane behind the watermark."""

from typing import Any, Final

import msgspec
import numpy as np

from tocsin.engine.evaluate.instants import in_order
from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.evaluate.pane_rows import PaneRows
from tocsin.engine.evaluate.plan import Judged, LaneSpec
from tocsin.engine.evaluate.points import segments
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.evaluate.statistic import Run
from tocsin.engine.evaluate.statistics import mergeables_of
from tocsin.engine.frame import Floats, Ints
from tocsin.engine.partial import Panes, flat, indexes
from tocsin.schemas.labels import series_key
from tocsin.schemas.signal import Signal

_NO_GROUP: Final = -1


class GatherLane(Lane):
    """`group` is each slot's group, `value` its last value. Panes before `closed_ms` were sent."""

    def __init__(self, spec: LaneSpec, judged: Judged, series: SeriesTable) -> None:
        assert spec.window is not None
        assert spec.group_by is not None
        self.hop = spec.window.hop_ms
        self.closed_ms = 0
        self._groups: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        super().__init__(spec, judged, series, {"group": ("i8", 0, _NO_GROUP), "value": ("f8", 0, np.nan)})
        self._panes = PaneRows(mergeables_of(self.aggregates))

    def _judge(self, judged: Judged) -> None:
        """Nothing is judged here."""
        super()._judge({})
        self.sources = {key: source for key, (source, _) in judged.items()}

    def adopt(self, judged: Judged) -> None:
        """See Lane; rules that ask for other figures begin with what comes from now on."""
        before = self._panes
        super().adopt(judged)
        if set(mergeables_of(self.aggregates)) != set(before.statistics):
            self._panes = PaneRows(mergeables_of(self.aggregates))
            self._panes.unpack(before.pack())

    def admit(self, number: int) -> None:
        """See Lane."""
        super().admit(number)
        _, labels = self.series.describe(number)
        assert self.spec.group_by is not None
        key = series_key("", {name: labels.get(name, "") for name in self.spec.group_by})
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = len(self._keys)
            self._keys.append(key)
        self.columns["group"][self.slot_of(number)] = group

    def take(self, samples: Samples, out: list[Signal]) -> None:
        """See Lane."""
        slots, samples = in_order(self, samples)
        if not len(slots):
            return
        before = self._predecessors(slots, samples.values)
        starts = samples.at_ms // self.hop * self.hop
        late = starts < self.closed_ms
        if late.any():
            self.note_late(samples.take(late))
            slots, samples, starts, before = slots[~late], samples.take(~late), starts[~late], before[~late]
            if not len(slots):
                return
        groups = self.columns["group"][slots]
        order = np.lexsort((samples.values, samples.at_ms, starts, groups))
        groups, starts = groups[order], starts[order]
        change = np.concatenate(([True], (np.diff(groups) != 0) | (np.diff(starts) != 0)))
        first = np.flatnonzero(change)
        run = Run(samples.at_ms[order], samples.values[order], np.cumsum(change) - 1, first, before[order])
        self._panes.fold(self._panes.place(groups[first], starts[first]), run)

    def _predecessors(self, slots: Ints, values: Floats) -> Floats:
        begins = segments(slots)
        unique = slots[begins[:-1]]
        before = np.concatenate(([np.nan], values[:-1]))
        before[begins[:-1]] = self.columns["value"][unique]
        self.columns["value"][unique] = values[begins[1:] - 1]
        return before

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
            found.append(self._sent(start, source, sequence + len(found)))
            self._panes.drop(start)
        return found

    def _sent(self, start: int, source: str, sequence: int) -> Panes:
        at = self._panes.groups_at(start)
        groups = sorted(at)
        rows = np.array([at[group] for group in groups], np.int64)
        return Panes(
            source,
            sequence,
            self.spec.key,
            [self._keys[group] for group in groups],
            indexes(np.arange(len(groups))),
            np.full(len(groups), start, np.int64).tobytes(),
            flat(self._panes.figures(rows)),
        )

    def is_at_rest(self, number: int) -> bool:
        """See Lane."""
        return True

    def pack_whole(self) -> bytes:
        """See Lane."""
        whole = {"closed_ms": self.closed_ms, "keys": self._keys, "panes": self._panes.pack()}
        return msgspec.msgpack.encode(whole)

    def unpack_whole(self, value: bytes) -> None:
        """See Lane."""
        whole: dict[str, Any] = msgspec.msgpack.decode(value)
        self.closed_ms, self._keys = whole["closed_ms"], whole["keys"]
        self._groups = {key: group for group, key in enumerate(self._keys)}
        self._panes.unpack(whole["panes"])
