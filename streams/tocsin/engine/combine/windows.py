"""Windows over groups, and ratios of two of them."""

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from tocsin.engine.combine.group_lane import GroupLane
from tocsin.engine.combine.shares import Shares
from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.plan import GroupSpec, Judged
from tocsin.engine.evaluate.points import Points
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.evaluate.statistic import Span
from tocsin.engine.evaluate.statistics import mergeable_of
from tocsin.engine.frame import Floats, Ints
from tocsin.engine.partial import Panes
from tocsin.schemas.signal import Evidence, Signal

_NOTHING_IS_ZERO: Final = ("sum", "count", "increase", "rate")
_UNSEEN: Final = 2**62


class WindowGroups(GroupLane):
    """One part is judged as it is; of two the first is divided by the second. `began` is a group's first pane."""

    def __init__(self, spec: GroupSpec, judged: Judged, series: SeriesTable, own: Spec | None = None) -> None:
        assert spec.window is not None
        self.size, self.hop = spec.window.length_ms, spec.window.hop_ms
        self.closed_ms = 0
        super().__init__(spec, judged, series, {"began": ("i8", 0, _UNSEEN), **(own or {})})
        self._parts = [Shares(self.aggregates, self.hop) for _ in spec.parts]

    def adopt(self, judged: Judged) -> None:
        """See Lane."""
        super().adopt(judged)
        for part in self._parts:
            part.rows = part.rows.asked_for(self.aggregates)

    def take_panes(self, part: int, panes: Panes, listened_ms: int) -> None:
        """See GroupLane."""
        self._add(part, self.slots_of(panes.keys), panes, listened_ms)

    def _add(self, part: int, slots: Ints, panes: Panes, listened_ms: int, noted: str = "heard") -> None:
        starts = np.frombuffer(panes.starts, np.int64)
        self.saw(slots, np.full(len(slots), int(starts.max()) + self.hop), listened_ms, noted)
        self.columns["began"][slots] = np.minimum(self.columns["began"][slots], int(starts.min()))
        self.columns.touch(slots)
        self._parts[part].add(slots, panes)

    def advance(self, watermark_ms: int, listened_ms: int, out: list[Signal]) -> None:
        """See GroupLane."""
        until = (watermark_ms - self.spec.lateness_ms) // self.hop * self.hop
        if until <= self.closed_ms:
            return
        for end in list(self._parts[-1].ends(self.closed_ms, until, self.size)):
            self._close(end, out)
        self.closed_ms = until
        for part in self._parts:
            part.expire(until - self.size + self.hop)

    def _close(self, end: int, out: list[Signal]) -> None:
        """Judge the groups that have a sample in the window; of a ratio, one to divide by."""
        self._judge_at(end, self._parts[-1].slots_in(end - self.size, end), out)

    def _judge_at(self, end: int, slots: Ints, out: list[Signal]) -> None:
        begin = end - self.size
        counts = [part.counts(slots, begin, end) for part in self._parts]
        at_ms = np.full(len(slots), end)
        evidence = self._evidence(end, counts[-1])
        points = {}
        for aggregate in self.aggregates:
            values = self._values(aggregate, slots, begin, counts)
            points[aggregate] = self._points(Points.one_each(slots, at_ms, values, evidence))
        if any(source.full for source in self.sources.values()):
            whole = np.flatnonzero(self.columns["began"][slots] <= begin)
            points |= {f"{name}/full": found.take(whole) for name, found in points.items()}
        self.columns["judged"][slots] = end
        self.columns.touch(slots)
        self.judge_all(points, out)

    def _points(self, points: Points) -> Points:
        return points

    def _values(self, aggregate: str, slots: Ints, begin: int, counts: list[Ints]) -> Floats:
        """NaN where there is none: also while some partition had not been asked yet when the window began."""
        end, begins = begin + self.size, np.full(len(slots), begin)
        if not all(part.is_complete(aggregate, begin) for part in self._parts):
            return np.full(len(slots), np.nan)
        answers = []
        for part, count in zip(self._parts, counts, strict=True):
            span = Span(begins, begins + self.size, np.maximum(count, 1))
            figures = part.figures(aggregate, slots, begin, end)
            with np.errstate(invalid="ignore"):  # a ratio's upper part may hold nothing
                answers.append(mergeable_of(aggregate).answer(aggregate, figures, span))
        return answers[0] if len(answers) == 1 else _ratio(aggregate, answers, counts[0])

    def _evidence(self, end: int, counts: Ints) -> Callable[[int], Evidence]:
        metric, window = self.spec.metric, (end - self.size, end)
        return lambda index: Evidence(metric=metric, window=window, samples=int(counts[index]))

    def ended_ms(self, slots: Ints) -> Ints:
        """See Lane."""
        return np.asarray(self.columns["heard"][slots] - self.hop + self.size)

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
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(np.where(answers[1] != 0, above / answers[1], np.nan))
