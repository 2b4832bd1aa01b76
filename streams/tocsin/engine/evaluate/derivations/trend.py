"""Where a value is going: a line through the recent past, laid on to a horizon.

Ordinary least squares over the means of at most 64 buckets of the lookback. With a season the line is laid through the
differences to one season ago, and added to what the season had where the horizon lies; judged is then the worst value
up to the horizon. One forecast a bucket, when it is complete.
"""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.derivation import Derivation, History, with_facts
from tocsin.engine.evaluate.detectors.seasonal import Seasonal
from tocsin.engine.evaluate.learner import Learner
from tocsin.engine.evaluate.points import Points
from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.kinds import Trend
from tocsin.schemas.learning import Learning

_BUCKETS: Final = 64
_SEASON_BUCKETS: Final = 288
_FEWEST: Final = 3
_KNOWN: Final = 30  # values after which one can stray from a baseline


class Forecast(Derivation):
    """The value at the horizon. There is none before half of the lookback, and a whole season, is known."""

    def __init__(self, settings: Trend, hop_ms: int, upwards: bool) -> None:
        self._upwards = upwards
        season = settings.season or 0
        step_ms = max(hop_ms, -(-settings.lookback // _BUCKETS), -(-season // _SEASON_BUCKETS), 1)
        self._past = max(settings.lookback // step_ms, _FEWEST)
        self._ahead = max(1, -(-settings.horizon // step_ms))
        self._season = -(-season // step_ms)
        length = self._past + self._season + 2
        own: Spec = {"done": ("i8", 0, -1), **History.spec(length)}
        self._learner = Learner(Seasonal(), Learning(learn_anomalies=True), own) if settings.of == "baseline" else None
        self.columns = self._learner.columns if self._learner else Columns(own)
        self._history = History(self.columns, step_ms, length)

    def derive(self, points: Points) -> Points:
        """See Derivation."""
        if self._learner is not None:
            points = self._learnt(self._learner, points)
        owners = points.owners()
        forecast, slope = np.full(len(points), np.nan), np.full(len(points), np.nan)
        paths = _Paths(points.at_ms, self._history.step_ms, self._upwards)
        for chosen in self._history.rounds(points):
            slots = owners[chosen]
            heads = chosen[np.concatenate(([True], np.diff(slots) != 0))]
            self._look_ahead(owners[heads], heads, points, forecast, slope, paths)
            self._history.add(slots, points.at_ms[chosen], points.values[chosen])
        hourly = 3_600_000 / self._history.step_ms
        evidence = with_facts(
            points,
            lambda index: {"current": float(points.values[index]), "slope_per_hour": float(slope[index]) * hourly},
        )
        return Points(points.slots, points.begins, points.at_ms, forecast, evidence, reach=paths.reach_s).usable()

    def _learnt(self, learner: Learner, points: Points) -> Points:
        """Values without what strays from the baseline: beyond its band they say nothing of where the series is going,
        and count as its ends."""
        values = points.values.copy()
        for turn in learner.turns(points):
            known = turn.age > _KNOWN
            inside = np.clip(turn.values, turn.finding.lower, turn.finding.upper)
            values[turn.index] = np.where(known, inside, turn.values)
            learner.settle(turn, known & (inside != turn.values))
        return replace(points, values=values)

    def _look_ahead(
        self, slots: Ints, heads: Ints, points: Points, forecast: Floats, slope: Floats, paths: "_Paths"
    ) -> None:
        """Slots whose bucket before this one is complete get their forecast, at the value that completed it."""
        now = points.at_ms[heads] // self._history.step_ms
        fresh = self.columns["done"][slots] < now
        slots, heads, now = slots[fresh], heads[fresh], now[fresh]
        if not len(slots):
            return
        self.columns["done"][slots] = now
        back = np.arange(-self._past, 0)
        past = self._history.means(slots[:, None], now[:, None] + back)
        if self._season:
            past = past - self._history.means(slots[:, None], now[:, None] + back - self._season)
        level, rise = _line(past, back)
        ahead = np.arange(self._ahead) if self._season else np.array([0, self._ahead - 1])
        values = level[:, None] + rise[:, None] * ahead
        if self._season:
            values = values + self._history.means(slots[:, None], now[:, None] + ahead % self._season - self._season)
        worst = np.fmax.reduce if self._upwards else np.fmin.reduce
        forecast[heads], slope[heads] = worst(values, axis=1) if self._season else values[:, -1], rise
        paths.add(heads, now, ahead, values)


@dataclass(slots=True)
class _Paths:
    """Where forecasts lead on their way to the horizon: in steps ahead of the bucket `now`, and the values there."""

    at_ms: Ints
    step_ms: int
    upwards: bool
    _parts: list[tuple[Ints, Ints, Ints, Floats]] = field(default_factory=list)

    def add(self, heads: Ints, now: Ints, ahead: Ints, values: Floats) -> None:
        """Forecasts at values given by rising index."""
        self._parts.append((heads, now, ahead, values))

    def reach_s(self, index: int, threshold: float) -> float | None:
        """In how many seconds the forecast made at a value is at a threshold; None if not by the horizon."""
        for heads, now, ahead, values in self._parts:
            row = int(np.searchsorted(heads, index))
            if row == len(heads) or heads[row] != index:
                continue
            sign = 1.0 if self.upwards else -1.0
            known = ~np.isnan(values[row])
            beyond = sign * (values[row][known] - threshold)
            first = int(np.argmax(beyond >= 0))
            if beyond[first] < 0 or not np.isfinite(beyond).all():
                return None
            step = float(ahead[known][first])
            if first:  # it is there between two steps
                back = beyond[first] / (beyond[first] - beyond[first - 1])
                step -= float(back) * float(ahead[known][first] - ahead[known][first - 1])
            middle_ms = (int(now[row]) + step + 0.5) * self.step_ms  # a bucket's mean is that of its middle
            return max(0.0, round((middle_ms - int(self.at_ms[index])) / 1_000, 3))
        return None


def _line(values: Floats, at: Ints) -> tuple[Floats, Floats]:
    """Level at 0 and rise a step of the least-squares line through what is known; NaN where too little is."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    # How far back, not how many: a series may well have fewer samples than there are buckets.
    enough = (count >= _FEWEST) & (np.abs(np.where(known, at, 0)).max(axis=1) >= len(at) // 2)
    number = np.maximum(count, 1)
    x, y = np.where(known, at, 0.0), np.where(known, values, 0.0)
    mean_x, mean_y = x.sum(axis=1) / number, y.sum(axis=1) / number
    dx, dy = np.where(known, x - mean_x[:, None], 0.0), np.where(known, y - mean_y[:, None], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = np.where(enough, (dx * dy).sum(axis=1) / (dx * dx).sum(axis=1), np.nan)
    return mean_y - rise * mean_x, rise
