"""Absence: a series is gone when nothing came for a fixed time, or for several of the gaps that are usual for it.

The usual gap is a running mean of gaps and of how far they stray from it (Jacobson's estimator, as TCP uses it for its
timeouts), so that a series with an irregular rhythm is given more time. Until a series has shown four gaps it cannot be
missed, unless the rule names a time. An absence is learnt as the longest gap that would have been none.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.condition import Flags
from tocsin.engine.evaluate.instants import in_order
from tocsin.engine.evaluate.judge import NEVER_MS
from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.evaluate.plan import GroupSpec, Judged, LaneSpec
from tocsin.engine.evaluate.points import Points, segments
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.signal import Evidence, Signal

_LEARNT: Final = 4  # gaps
_GAIN, _STRAY_GAIN, _STRAYS = 1 / 8, 1 / 4, 4.0
_LEAST_MS: Final = 1_000
_MOST_GAPS: Final = 1_000_000
_ROUNDS: Final = 8  # rounds for each slot that are still quicker than numbers
_EXPECTED_MS: Final = 300_000  # for what must be there and was never seen


class SilenceLane(Lane):
    """`gap` and `stray` are of each slot in milliseconds, `gaps` how many were seen, `gone` whether it is missed."""

    def __init__(self, spec: LaneSpec | GroupSpec, judged: Judged, series: SeriesTable) -> None:
        assert spec.absence is not None
        self.absence = spec.absence
        own: Spec = {
            "seen": ("i8", 0, -1),
            "gap": ("f8", 0, 0.0),
            "stray": ("f8", 0, 0.0),
            "gaps": ("i4", 0, 0),
            "gone": ("u1", 0, 0),
        }
        super().__init__(spec, judged, series, own)

    def take(self, samples: Samples, out: list[Signal]) -> None:
        """See Lane. A gap that was too long is one however late it is noticed, be it by the sample that ends it."""
        slots, samples = in_order(self, samples)
        if not len(slots):
            return
        runs = segments(slots)
        unique = slots[runs[:-1]]
        before = np.concatenate(([0], samples.at_ms[:-1]))
        before[runs[:-1]] = self.columns["seen"][unique]
        gaps = _Gaps.of(slots, before, samples.at_ms)
        if self.absence.after is None:
            self._learn(gaps)
        else:
            gaps.due_ms = np.where(before >= 0, before + self.absence.after, NEVER_MS)
        known = np.zeros(len(slots), bool)
        known[runs[:-1]] = self.columns["gone"][unique] > 0
        self._tell(gaps, known, out)
        self.columns["gone"][unique] = 0
        self.columns["seen"][unique] = samples.at_ms[runs[1:] - 1]

    def _tell(self, gaps: "_Gaps", known: Flags, out: list[Signal]) -> None:
        """Say of gaps that were too long that they began, unless that is `known`, and that they ended."""
        missed = ~known & (gaps.at_ms >= gaps.due_ms)
        stirred = np.zeros(self.columns.count, bool)
        stirred[gaps.slots[missed | known]] = True
        for judge in self.judges.values():
            stirred |= judge.columns["state"][: self.columns.count].any(axis=1)
        told = np.flatnonzero(stirred[gaps.slots])
        runs = segments(gaps.slots[told])
        rank = np.arange(len(told)) - np.repeat(runs[:-1], np.diff(runs))
        for turn in range(int(rank.max(initial=-1)) + 1):
            index = told[rank == turn]
            begun, gone = index[missed[index]], index[(missed | known)[index]]
            self._say(gaps.take(begun), gaps.due_ms[begun], 1.0, out)
            self._go_on(gaps.take(gone), out)
            self._say(gaps.take(index), gaps.at_ms[index], 0.0, out)

    def _say(self, gaps: "_Gaps", at_ms: Ints, value: float, out: list[Signal]) -> None:
        if len(at_ms):
            values = np.full(len(at_ms), value)
            self.judge_all({"last": Points.one_each(gaps.slots, at_ms, values, self._evidence(gaps, at_ms))}, out)

    def _go_on(self, gaps: "_Gaps", out: list[Signal]) -> None:
        """Of series that are gone: what waited for a cooldown is due some time before the gap's end."""
        while len(gaps.slots):
            due_ms = np.min([judge.waits_ms(gaps.slots) for judge in self.judges.values()], axis=0)
            over = np.flatnonzero(due_ms <= gaps.at_ms)
            gaps = gaps.take(over)
            self._say(gaps, due_ms[over], 1.0, out)

    def _learn(self, gaps: "_Gaps") -> None:
        """The k-th gap of every slot in round k; samples of one time are one. A gap that is too long counts as one
        that was just long enough: an outage must not make the next one pass unnoticed."""
        seen = np.flatnonzero((gaps.before >= 0) & (gaps.at_ms > gaps.before))
        runs = segments(gaps.slots[seen])
        lengths = np.diff(runs)
        if lengths.max(initial=0) > _ROUNDS * len(lengths):
            for begin, end in pairwise(runs.tolist()):
                self._learn_of_one(gaps, seen[begin:end])
            return
        rank = np.arange(len(seen)) - np.repeat(runs[:-1], lengths)
        columns = self.columns
        for turn in range(int(rank.max(initial=-1)) + 1):
            chosen = seen[rank == turn]
            at = gaps.slots[chosen]
            patience = self.patience_ms(at)
            gaps.due_ms[chosen] = gaps.before[chosen] + patience
            gaps.usual_ms[chosen] = columns["gap"][at]
            gap = np.minimum(gaps.at_ms[chosen] - gaps.before[chosen], patience).astype(np.float64)
            first = columns["gaps"][at] == 0
            error = gap - columns["gap"][at]
            columns["gap"][at] = np.where(first, gap, columns["gap"][at] + _GAIN * error)
            stray = columns["stray"][at]
            columns["stray"][at] = np.where(first, gap / 2, stray + _STRAY_GAIN * (np.abs(error) - stray))
            columns["gaps"][at] = np.minimum(columns["gaps"][at] + 1, _MOST_GAPS)

    def _learn_of_one(self, gaps: "_Gaps", seen: NDArray[np.intp]) -> None:
        """The same of many gaps of one slot, number by number: rounds of one are slow, and a history has thousands."""
        columns, slot, missed = self.columns, int(gaps.slots[seen[0]]), self.absence.missed
        usual, stray, count = (columns[name][slot].item() for name in ("gap", "stray", "gaps"))
        unknown = _EXPECTED_MS if self.absence.expected else NEVER_MS
        due_ms, usual_ms = [], []
        for before, at_ms in zip(gaps.before[seen].tolist(), gaps.at_ms[seen].tolist(), strict=True):
            patience = unknown
            if count >= _LEARNT:
                patience = max(math.ceil(max(usual * missed, usual + _STRAYS * stray)), _LEAST_MS)
            due_ms.append(before + patience)
            usual_ms.append(usual)
            gap = float(min(at_ms - before, patience))
            error = gap - usual
            if count:
                usual, stray = usual + _GAIN * error, stray + _STRAY_GAIN * (abs(error) - stray)
            else:
                usual, stray = gap, gap / 2
            count += 1
        gaps.due_ms[seen], gaps.usual_ms[seen] = due_ms, usual_ms
        columns["gap"][slot], columns["stray"][slot], columns["gaps"][slot] = usual, stray, min(count, _MOST_GAPS)

    def patience_ms(self, slots: Ints) -> Ints:
        """How long each slot may be silent."""
        if self.absence.after is not None:
            return np.full(len(slots), self.absence.after, np.int64)
        gap, stray = self.columns["gap"][slots], self.columns["stray"][slots]
        usual = np.maximum(gap * self.absence.missed, gap + _STRAYS * stray)
        patience = np.maximum(np.ceil(usual), _LEAST_MS).astype(np.int64)
        unknown = _EXPECTED_MS if self.absence.expected else NEVER_MS
        return np.where(self.columns["gaps"][slots] >= _LEARNT, patience, unknown)

    def quiet(self, now_ms: Ints, until_ms: int, quiet_ms: int, out: list[Signal]) -> None:
        """Series that have been silent for too long are gone."""
        slots = self.occupied()
        slots = slots[self.columns["seen"][slots] >= 0]
        if not len(slots):
            return
        now = np.minimum(now_ms[self.columns["series"][slots]] - self.spec.lateness_ms, until_ms)
        gaps = _Gaps.of(slots, self.columns["seen"][slots], now)
        gaps.due_ms = gaps.before + self.patience_ms(slots)
        gaps.usual_ms = self.columns["gap"][slots]
        missed = np.flatnonzero((self.columns["gone"][slots] == 0) & (now >= gaps.due_ms))
        if len(missed):
            self.columns["gone"][slots[missed]] = 1
            self.columns.touch(slots[missed])
            self._say(gaps.take(missed), gaps.due_ms[missed], 1.0, out)
        self._go_on(gaps.take(np.flatnonzero(self.columns["gone"][slots])), out)

    def _evidence(self, gaps: "_Gaps", at_ms: Ints) -> Callable[[int], Evidence]:
        def evidence(index: int) -> Evidence:
            seen_ms = int(gaps.before[index])
            facts = {
                "silent_s": (int(at_ms[index]) - seen_ms) / 1_000,
                "usual_gap_s": float(gaps.usual_ms[index]) / 1_000,
            }
            return Evidence(metric=self.spec.metric, window=(seen_ms, int(at_ms[index])), samples=0, facts=facts)

        return evidence


@dataclass(slots=True)
class _Gaps:
    """Gaps of slots, from `before` to `at_ms`. Until `due_ms` a gap was no absence; `usual_ms` was usual then."""

    slots: Ints
    before: Ints
    at_ms: Ints
    due_ms: Ints
    usual_ms: Floats

    @classmethod
    def of(cls, slots: Ints, before: Ints, at_ms: Ints) -> Self:
        """Gaps of which nothing is known."""
        return cls(slots, before, at_ms, np.full(len(slots), NEVER_MS, np.int64), np.zeros(len(slots)))

    def take(self, index: NDArray[np.intp]) -> Self:
        """Some of them."""
        return type(self)(
            self.slots[index], self.before[index], self.at_ms[index], self.due_ms[index], self.usual_ms[index]
        )
