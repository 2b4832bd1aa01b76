"""The worst value of each alert: followed by slot, in vectors where nothing changes, value by value where it does."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.judge import Describe, Judge
from tocsin.engine.evaluate.points import Points
from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

_GROWTH = 1_024
_WORDLESS = ("absence", "composite")  # judged is only whether it holds


def as_told(judge: Judge, points: Points) -> Points:
    """What was judged as alerts tell of it: of a burn rate how fast it burns, not how many severities it reached. Paths
    of forecasts are not held on to."""
    if judge.versions[0].rule.condition != "burn_rate":
        return replace(points, reach=None) if points.reach else points
    return replace(points, values=np.array([points.evidence(at).facts["burn"] for at in range(len(points))]))


@dataclass(frozen=True, slots=True)
class Peak:
    """The lowest and the highest value of one episode, from its beginning to its end."""

    lowest: float
    highest: float

    def worst(self, rule: Rule) -> float | None:
        """The one that is farthest on the wrong side."""
        if rule.condition in _WORDLESS or self.lowest > self.highest:
            return None
        if rule.condition == "range":
            low, high = rule.steps[0].lower or 0.0, rule.steps[0].upper or 0.0
            middle = low + (high - low) / 2
            is_low = abs(self.lowest - middle) > abs(self.highest - middle)
            return self.lowest if is_low is not rule.inside else self.highest
        return self.lowest if rule.operator in ("lt", "lte") else self.highest


@dataclass(slots=True)
class _Track:
    """By slot: whether an episode goes on, and its extremes so far."""

    active: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(_GROWTH, bool))
    low: Floats = field(default_factory=lambda: np.full(_GROWTH, np.inf))
    high: Floats = field(default_factory=lambda: np.full(_GROWTH, -np.inf))

    def reach(self, slots: int) -> None:
        """Make room."""
        while len(self.active) < slots:
            more = len(self.active)
            self.active = np.concatenate((self.active, np.zeros(more, bool)))
            self.low = np.concatenate((self.low, np.full(more, np.inf)))
            self.high = np.concatenate((self.high, np.full(more, -np.inf)))

    def widen(self, slots: Ints, low: Floats, high: Floats) -> None:
        """Values of slots whose episode goes on."""
        self.low[slots] = np.minimum(self.low[slots], low)
        self.high[slots] = np.maximum(self.high[slots], high)

    def restart(self, slot: int, active: bool) -> None:
        """An episode begins, or is over."""
        self.active[slot], self.low[slot], self.high[slot] = active, np.inf, -np.inf


class Peaks:
    """`watch` notes what is judged; `settle`, with the signals that came of it, gives the peaks of ended episodes."""

    def __init__(self) -> None:
        self._noted: list[tuple[Judge, Points]] = []
        self._rows: dict[int, NDArray[np.int32]] = {}
        self._tracks: defaultdict[tuple[int, int], _Track] = defaultdict(_Track)
        self._judges: dict[int, Judge] = {}
        self._places: dict[str, tuple[Judge, int, int]] = {}

    def watch(self, judge: Judge, points: Points, describe: Describe) -> None:  # noqa: ARG002
        """See `Watch`."""
        self._judges[id(judge)] = judge
        if len(points) and len(judge.cells):  # while nothing has ever begun there is nothing to follow
            self._noted.append((judge, as_told(judge, points)))

    def settle(self, signals: Iterable[Signal]) -> dict[tuple[str, int], Peak]:
        """Peaks of episodes that ended, by fingerprint and the time of the end."""
        changed: defaultdict[tuple[int, int, int], list[Signal]] = defaultdict(list)
        for signal in signals:
            judge, owner, slot = self._place(signal.fingerprint)
            changed[id(judge), owner, slot].append(signal)
        touched: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        for judge_id, owner, slot in changed:
            touched[judge_id, owner].add(slot)
        for judge, points in self._noted:
            self._widen_unchanged(judge, points, touched)
        found: dict[tuple[str, int], Peak] = {}
        for (judge_id, owner, slot), theirs in changed.items():
            self._walk(self._judges[judge_id], owner, slot, theirs, found)
        self._noted.clear()
        self._rows.clear()
        return found

    def open(self, fingerprint: str) -> Peak:
        """The peak so far of an episode that goes on."""
        judge, owner, slot = self._place(fingerprint)
        track = self._tracks[id(judge), owner]
        return Peak(float(track.low[slot]), float(track.high[slot]))

    def _widen_unchanged(self, judge: Judge, points: Points, touched: defaultdict[tuple[int, int], set[int]]) -> None:
        for owner in range(len(judge.versions)):
            track = self._tracks[id(judge), owner]
            track.reach(judge.columns.count)
            rows = track.active[points.slots]
            if not rows.any():
                continue
            slots = points.slots
            if touched[id(judge), owner]:
                rows &= ~np.isin(slots, list(touched[id(judge), owner]))
            low = np.minimum.reduceat(points.values, points.begins[:-1])
            high = np.maximum.reduceat(points.values, points.begins[:-1])
            track.widen(slots[rows], low[rows], high[rows])

    def _walk(
        self, judge: Judge, owner: int, slot: int, signals: list[Signal], found: dict[tuple[str, int], Peak]
    ) -> None:
        """One slot in which something began or ended."""
        track = self._tracks[id(judge), owner]
        track.reach(judge.columns.count)
        at_ms, values = self._values(judge, slot)
        for signal in signals:
            if signal.kind == "ended":
                rest = at_ms > signal.at_ms
                self._add(track, slot, values[~rest])
                at_ms, values = at_ms[rest], values[rest]
                found[signal.fingerprint, signal.at_ms] = Peak(float(track.low[slot]), float(track.high[slot]))
                track.restart(slot, False)
            elif not track.active[slot]:
                track.restart(slot, True)
                since = at_ms >= signal.since_ms
                at_ms, values = at_ms[since], values[since]
                if signal.reason == "condition":
                    self._add(track, slot, np.array([signal.evidence.facts.get("burn", signal.value)]))
        if track.active[slot]:
            self._add(track, slot, values)

    def _add(self, track: _Track, slot: int, values: Floats) -> None:
        if len(values):
            track.widen(np.array([slot]), values.min(keepdims=True), values.max(keepdims=True))

    def _values(self, judge: Judge, slot: int) -> tuple[Ints, Floats]:
        """What was noted of one slot, in order."""
        times, values = [np.empty(0, np.int64)], [np.empty(0, np.float64)]
        for index, (noted, points) in enumerate(self._noted):
            if noted is judge and (row := self._row(index, slot)) >= 0:
                begin, end = int(points.begins[row]), int(points.begins[row + 1])
                times.append(points.at_ms[begin:end])
                values.append(points.values[begin:end])
        return np.concatenate(times), np.concatenate(values)

    def _row(self, index: int, slot: int) -> int:
        """Where a slot stands in what was noted; -1 if it does not."""
        rows = self._rows.get(index)
        if rows is None:
            judge, points = self._noted[index]
            rows = self._rows[index] = np.full(judge.columns.count, -1, np.int32)
            rows[points.slots] = np.arange(len(points.slots))
        return int(rows[slot])

    def _place(self, fingerprint: str) -> tuple[Judge, int, int]:
        """Judge, rule and slot of an alert; looked for anew when its slot was given to another."""
        known = self._places.get(fingerprint)
        if known is not None:
            judge, owner, slot = known
            cell = judge.cells.get(slot, owner)
            if cell is not None and cell.fingerprint == fingerprint:
                return known
        for judge in self._judges.values():
            for slot, owner, name in judge.cells.names():
                self._places[name] = judge, owner, slot
        return self._places[fingerprint]
