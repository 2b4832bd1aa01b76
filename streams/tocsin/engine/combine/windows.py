"""Windows over groups, and ratios of two of them: shares of all partitions put together, pane by pane."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tocsin.engine.combine.group_lane import GroupLane
from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.pane_rows import PaneRows
from tocsin.engine.evaluate.plan import GroupSpec, Judged
from tocsin.engine.evaluate.points import Points
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.evaluate.statistic import COUNT, Mergeable, Span
from tocsin.engine.evaluate.statistics import mergeable_of, mergeables_of
from tocsin.engine.frame import Floats, Ints
from tocsin.engine.partial import Panes
from tocsin.schemas.signal import Evidence, Signal

_NOTHING_IS_ZERO: Final = ("sum", "count", "increase", "rate")


class Shares:
    """The open panes of one part of a lane."""

    def __init__(self, aggregates: set[str], hop_ms: int) -> None:
        self.hop = hop_ms
        self.statistics: dict[str, Mergeable] = mergeables_of(aggregates)
        self.rows = PaneRows(self.statistics)

    def add(self, slots: Ints, panes: Panes) -> None:
        """Shares of groups, given by slot."""
        starts = np.frombuffer(panes.starts, np.int64)
        groups = slots[np.frombuffer(panes.groups, np.uint32)]
        figures = {name: panes.figure(name, len(starts)) for name in self.rows.names if name in panes.figures}
        if len(figures) == len(self.rows.names):  # else gathered before a rule asked for more
            self.rows.merge(self.rows.place(groups, starts), figures)

    def slots_in(self, begin: int, end: int) -> set[int]:
        """Groups with a share in [begin, end)."""
        return {slot for start in range(begin, end, self.hop) for slot in self.rows.groups_at(start)}

    def panes(self, slots: Ints, begin: int, end: int) -> dict[str, NDArray[Any]]:
        """Figures of slots x panes in [begin, end)."""
        rows = np.full((len(slots), (end - begin) // self.hop), -1, np.int64)
        for place, start in enumerate(range(begin, end, self.hop)):
            at = self.rows.groups_at(start)
            if at:
                rows[:, place] = [at.get(slot, -1) for slot in slots.tolist()]
        return self.rows.figures(rows)

    def expire(self, begin: int) -> None:
        """No window needs panes that start before."""
        for start in self.rows.starts():
            if start >= begin:
                break
            self.rows.drop(start)

    def ends(self, closed_ms: int, until_ms: int, size_ms: int) -> Iterator[int]:
        """Ends of windows in (closed, until] that hold a pane."""
        starts = self.rows.starts()
        if not starts:
            return
        end = max(closed_ms, starts[0]) // self.hop * self.hop + self.hop
        last = starts[-1]
        while end <= until_ms and end - size_ms <= last:
            yield end
            end += self.hop


class WindowGroups(GroupLane):
    """One part is judged as it is; of two the first is divided by the second."""

    def __init__(self, spec: GroupSpec, judged: Judged, series: SeriesTable) -> None:
        assert spec.window is not None
        self.group = spec
        self.size, self.hop = spec.window.length_ms, spec.window.hop_ms
        self.closed_ms = 0
        self._listened_ms = 0
        own: Spec = {"began": ("i8", 0, -1)}
        super().__init__(spec, judged, series, own)
        self._parts = [Shares(self.aggregates, self.hop) for _ in spec.parts]

    def adopt(self, judged: Judged) -> None:
        """See Lane."""
        super().adopt(judged)
        if set(mergeables_of(self.aggregates)) != set(self._parts[0].statistics):
            before, self._parts = self._parts, [Shares(self.aggregates, self.hop) for _ in self._parts]
            for old, new in zip(before, self._parts, strict=True):
                new.rows.unpack(old.rows.pack())

    def take_panes(self, part: int, panes: Panes, listened_ms: int, out: list[Signal]) -> None:
        """See GroupLane."""
        starts = np.frombuffer(panes.starts, np.int64)
        at_ms = np.full(len(panes.keys), int(starts.max()) + self.hop)
        slots = self.slots_of(panes.keys, at_ms, listened_ms)
        fresh = self.columns["began"][slots] < 0
        self.columns["began"][slots[fresh]] = int(starts.min())
        self._parts[part].add(slots, panes)

    def advance(self, watermark_ms: int, out: list[Signal]) -> None:
        """See GroupLane."""
        until = (watermark_ms - self.group.lateness_ms) // self.hop * self.hop
        if until <= self.closed_ms:
            return
        ends = sorted({end for part in self._parts for end in part.ends(self.closed_ms, until, self.size)})
        for end in ends:
            self._close(end, out)
            for part in self._parts:
                part.expire(end - self.size + self.hop)
        self.closed_ms = until
        for part in self._parts:
            part.expire(until - self.size + self.hop)

    def _close(self, end: int, out: list[Signal]) -> None:
        begin = end - self.size
        slots = np.array(sorted(set().union(*(part.slots_in(begin, end) for part in self._parts))), np.int64)
        if not len(slots):
            return
        panes = [part.panes(slots, begin, end) for part in self._parts]
        counts = [found[COUNT].sum(axis=1) for found in panes]
        some = np.flatnonzero(counts[-1] > 0)
        slots, counts = slots[some], [count[some] for count in counts]
        panes = [{name: figures[some] for name, figures in found.items()} for found in panes]
        if not len(slots):
            return
        at_ms, begins = np.full(len(slots), end), np.full(len(slots), begin)
        spans = [Span(begins, at_ms, np.maximum(count, 1)) for count in counts]
        evidence = self._evidence(end, counts[-1])
        points = {}
        for aggregate in self.aggregates:
            answers = [mergeable_of(aggregate).answer(aggregate, p, s) for p, s in zip(panes, spans, strict=True)]
            values = answers[0] if len(answers) == 1 else _ratio(aggregate, answers, counts[0])
            points[aggregate] = Points.one_each(slots, at_ms, values, evidence)
        if any(source.full for source in self.sources.values()):
            whole = np.flatnonzero(self.columns["began"][slots] <= begin)
            points |= {f"{name}/full": found.take(whole) for name, found in points.items()}
        self.columns["judged"][slots] = end
        self.judge_all(points, out)

    def _evidence(self, end: int, counts: Ints) -> Callable[[int], Evidence]:
        metric, window = self.group.metric, (end - self.size, end)
        return lambda index: Evidence(metric=metric, window=window, samples=int(counts[index]))

    def dismiss(self, number: int) -> None:
        """See Lane."""
        slot = self.slot_of(number)
        for part in self._parts:
            part.rows.forget_group(slot)
        super().dismiss(number)

    def pack_whole(self) -> bytes:
        """See Lane."""
        return msgspec.msgpack.encode((self.closed_ms, [part.rows.pack() for part in self._parts]))

    def unpack_whole(self, value: bytes) -> None:
        """See Lane."""
        self.closed_ms, parts = msgspec.msgpack.decode(value)
        for part, packed in zip(self._parts, parts, strict=True):
            part.rows.unpack(packed)


def _ratio(aggregate: str, answers: list[Floats], counts: Ints) -> Floats:
    """The first divided by the second; nothing at all counts as zero where it adds up. By zero there is no ratio."""
    if aggregate in _NOTHING_IS_ZERO:
        above = np.where(counts > 0, answers[0], 0.0)
    else:
        above = np.where(counts > 0, answers[0], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(answers[1] != 0, above / answers[1], np.nan))
