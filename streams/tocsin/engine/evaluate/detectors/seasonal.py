"""What `baseline` rules are held against: level, season and spread alone, at a tenth of the cost of the default."""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Columns
from tocsin.engine.evaluate.detector import CLOCK, Detector, Finding, arrive
from tocsin.engine.evaluate.detectors import season
from tocsin.engine.evaluate.detectors.season import AUTO, Habits
from tocsin.engine.frame import Floats, Ints

_TINY: Final = np.finfo(np.float32).tiny


class Seasonal(Detector):
    """The score is the distance from the expected value in halves of the band."""

    def __init__(self, habits: Habits = AUTO) -> None:
        self.columns = Columns({**CLOCK, **season.SPEC})
        self._habits = habits

    def look(self, slots: Ints, at_s: Floats, values: Floats, local_s: Floats | None = None) -> Finding:
        """See Detector."""
        moment = arrive(self.columns, slots, at_s, values)
        outlook = season.foresee(self.columns, moment, at_s if local_s is None else local_s, self._habits)
        nothing = np.zeros(len(slots), np.float32)
        season.learn(self.columns, moment, outlook, nothing + 1, nothing, self._habits)
        score = np.abs(outlook.rest) / np.maximum(season.WIDE * outlook.usual, _TINY)
        return Finding(np.minimum(score, 1e15), *outlook.band(moment.unit))
