"""Extreme values: how far a value is from a level that follows, held to its own tail.

Streaming peaks over threshold with drift (DSPOT; Siffer, Fouque, Termier and Largouet 2017): no season, no trend, only
which excess over the level comes how seldom. What is far off is learnt as if it were at four scales.
"""

import numpy as np

from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.detector import Moment
from tocsin.engine.evaluate.detectors import scale
from tocsin.engine.evaluate.detectors.rarity import Rarity, Reading
from tocsin.engine.evaluate.detectors.scale import Level
from tocsin.engine.frame import Floats


class Extremes(Rarity):
    """See the module. The measure is the distance from the level, in scales."""

    measures = ("value",)

    def spec(self) -> Spec:
        """See Rarity."""
        return {"level": ("f8", 0, 0.0), **scale.SPEC}

    def read(self, moment: Moment, local_s: Floats) -> Reading:
        """See Rarity."""
        level = Level(self.columns, moment, self.habits.level_s)
        anew = np.zeros(len(moment.slots), bool)
        return Reading(level.measured[None], moment.age, anew, level.band(), level.learn)
