"""Absence: a series is gone when nothing came for a fixed time, or for several of the gaps that are usual for it.

The usual gap is a running mean of gaps and of how far they stray from it (Jacobson's estimator, as TCP uses it for its
timeouts), so that a series with an irregular rhythm is given more time. Until a series has shown four gaps it cannot be
missed, unless the rule names a time.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.instants import in_order
from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.evaluate.plan import GroupSpec, Judged, LaneSpec
from tocsin.engine.evaluate.points import Points, segments
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.frame import Ints
from tocsin.schemas.signal import Evidence, Signal

_LEARNT: Final = 4  # gaps
_GAIN, _STRAY_GAIN, _STRAYS = 1 / 8, 1 / 4, 4.0
_LEAST_MS: Final = 1_000
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
        """See Lane."""
        slots, samples = in_order(self, samples)
        if not len(slots):
            return
        runs = segments(slots)
        unique = slots[runs[:-1]]
        back = self.columns["gone"][unique] > 0
        if back.any():
            self._say(unique[back], samples.at_ms[runs[:-1]][back], 0.0, out)
        self.columns["gone"][unique] = 0
        if self.absence.after is None:
            self._learn(slots, samples.at_ms, runs)
        self.columns["seen"][unique] = samples.at_ms[runs[1:] - 1]

    def _learn(self, slots: Ints, at_ms: Ints, runs: Ints) -> None:
        """The k-th gap of every slot in round k; samples of one time are one."""
        before = np.concatenate(([0], at_ms[:-1]))
        before[runs[:-1]] = self.columns["seen"][slots[runs[:-1]]]
        seen = np.flatnonzero((before >= 0) & (at_ms > before))
        rank_runs = segments(slots[seen])
        rank = np.arange(len(seen)) - np.repeat(rank_runs[:-1], np.diff(rank_runs))
        columns = self.columns
        for turn in range(int(rank.max(initial=-1)) + 1):
            chosen = seen[rank == turn]
            at, gap = slots[chosen], (at_ms[chosen] - before[chosen]).astype(np.float64)
            first = columns["gaps"][at] == 0
            error = gap - columns["gap"][at]
            columns["gap"][at] = np.where(first, gap, columns["gap"][at] + _GAIN * error)
            stray = columns["stray"][at]
            columns["stray"][at] = np.where(first, gap / 2, stray + _STRAY_GAIN * (np.abs(error) - stray))
            columns["gaps"][at] = np.minimum(columns["gaps"][at] + 1, 1_000_000)

    def patience_ms(self, slots: Ints) -> Ints:
        """How long each slot may be silent."""
        if self.absence.after is not None:
            return np.full(len(slots), self.absence.after, np.int64)
        gap, stray = self.columns["gap"][slots], self.columns["stray"][slots]
        usual = np.maximum(gap * self.absence.missed, gap + _STRAYS * stray)
        patience = np.maximum(np.ceil(usual), _LEAST_MS).astype(np.int64)
        unknown = _EXPECTED_MS if self.absence.expected else 2**62
        return np.where(self.columns["gaps"][slots] >= _LEARNT, patience, unknown)

    def quiet(self, now_ms: Ints, until_ms: int, quiet_ms: int, out: list[Signal]) -> None:
        """Series that have been silent for too long are gone."""
        slots = self.occupied()
        slots = slots[(self.columns["gone"][slots] == 0) & (self.columns["seen"][slots] >= 0)]
        if not len(slots):
            return
        patience = self.patience_ms(slots)
        due_ms = self.columns["seen"][slots] + np.minimum(patience, 2**61)
        now = now_ms[self.columns["series"][slots]]
        missed = (now >= due_ms + self.spec.lateness_ms) & (due_ms <= until_ms)
        if missed.any():
            self.columns["gone"][slots[missed]] = 1
            self._say(slots[missed], due_ms[missed], 1.0, out)

    def _say(self, slots: Ints, at_ms: Ints, value: float, out: list[Signal]) -> None:
        evidence = self._evidence(slots, at_ms)
        points = Points.one_each(slots, at_ms, np.full(len(slots), value), evidence)
        self.judge_all({"last": points}, out)
        self.columns.touch(slots)

    def _evidence(self, slots: Ints, at_ms: Ints) -> Callable[[int], Evidence]:
        seen, gap = self.columns["seen"][slots], self.columns["gap"][slots]

        def evidence(index: int) -> Evidence:
            silent_s = (int(at_ms[index]) - int(seen[index])) / 1_000
            return Evidence(
                metric=self.spec.metric,
                window=(int(seen[index]), int(at_ms[index])),
                samples=0,
                facts={"silent_s": silent_s, "usual_gap_s": float(gap[index]) / 1_000},
            )

        return evidence
