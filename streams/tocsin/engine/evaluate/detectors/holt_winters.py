"""Additive Holt-Winters with robust learning: what a level, a trend and a season do not foretell.

Level, trend and season of Winters (1960), each following by a gain of its own; a value that is far off is learnt as if
it were at four scales (Gelper, Fried and Croux 2010). The season has knots, half an hour apart over a day or an hour
over a week, and straight lines between them instead of lags, so that gaps and any cadence do.
"""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.detector import Array, Moment
from tocsin.engine.evaluate.detectors import scale
from tocsin.engine.evaluate.detectors.rarity import Rarity, Reading
from tocsin.engine.evaluate.detectors.scale import Scale
from tocsin.engine.evaluate.detectors.season import DAY_S, WEEK_S
from tocsin.engine.frame import Floats, Ints

_TREND_S: Final = 7.0 * DAY_S
_VISITS: Final = 5.0  # how many days or weeks the season remembers
_PERIODS: Final = {"auto": (DAY_S, 48), "day": (DAY_S, 48), "week": (WEEK_S, 168), "none": (DAY_S, 0)}


class HoltWinters(Rarity):
    """See the module; `auto` is a season of a day. The measure is the error of the forecast, which begins anew once a
    period is known."""

    measures = ("forecast",)

    def spec(self) -> Spec:
        """See Rarity."""
        self._period_s, self._knots = _PERIODS[self.habits.periods]
        own: Spec = {
            "level": ("f8", 0, 0.0),
            "slope": ("f8", 0, 0.0),  # of a second
            "span_s": ("f8", 0, 0.0),
            "known": ("i8", 0, 0),
        }
        knots: Spec = {"knot": ("f8", self._knots, 0.0), "knot_s": ("f4", self._knots, 0.0)} if self._knots else {}
        return {**own, **knots, **scale.SPEC}

    def read(self, moment: Moment, local_s: Floats) -> Reading:
        """See Rarity."""
        columns, slots = self.columns, moment.slots
        before_s = columns["span_s"][slots]
        span_s = columns["span_s"][slots] = before_s + moment.step_s * (moment.age > 1)
        anew = (before_s < self._period_s) & (span_s >= self._period_s)
        known = columns["known"][slots] = np.where(anew, 1, columns["known"][slots] + 1)
        level = np.where(moment.age == 1, moment.x, columns["level"][slots] + columns["slope"][slots] * moment.step_s)
        at, shares = self._place(local_s)
        seasonal = (shares * columns["knot"][slots, at]).sum(axis=0) if self._knots else 0.0
        expected = level + seasonal
        found = Scale(columns, moment, moment.x - expected, known)

        def learn(strange: Array) -> Array:
            error = found.learn()
            columns["level"][slots] = level + moment.gain(self.habits.level_s) * error
            rise = error * moment.step_s / (self.habits.level_s * _TREND_S)
            columns["slope"][slots] += np.where(span_s >= self._period_s, rise, 0.0)
            if self._knots:
                self._learn_season(moment, at, shares, error)
            return 1 - strange.astype(np.float32)

        return Reading(found.measured[None], known, anew, found.band(expected), learn)

    def _place(self, local_s: Floats) -> tuple[Ints, Floats]:
        """The two knots around each time, and how near each is: 2 x slots."""
        phase = (local_s % self._period_s) * (self._knots / self._period_s)
        at = np.minimum(phase.astype(np.int64), max(self._knots - 1, 0))
        late = np.clip(phase - at, 0.0, 1.0)
        return np.stack((at, (at + 1) % max(self._knots, 1))), np.stack((1 - late, late))

    def _learn_season(self, moment: Moment, at: Ints, shares: Floats, error: Floats) -> None:
        """Teach both knots: the mean of their first visits, then at most so many."""
        columns, slots = self.columns, moment.slots
        part_s = shares * moment.step_s
        width_s = self._period_s / self._knots
        seen_s = np.minimum(columns["knot_s"][slots, at] + part_s, _VISITS * width_s)
        columns["knot_s"][slots, at] = seen_s
        columns["knot"][slots, at] += np.where(part_s > 0, shares * part_s / np.maximum(seen_s, 1e-9), 0.0) * error
