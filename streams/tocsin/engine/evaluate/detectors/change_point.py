"""A change of level: two cumulative sums of what the season leaves over (CUSUM, Page 1954).

Each sum grows by how far values are above (below) what is expected, less a slack of one scale, and does not fall below
0. So what is too little to be seen in one value adds up. How high a sum has to be is found by the tail of its own past.
It grows no higher than 50 scales, so that it has come down soon after a change is over.
"""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.detector import Array, Moment
from tocsin.engine.evaluate.detectors import scale, season, tails
from tocsin.engine.evaluate.detectors.rarity import Rarity, Reading
from tocsin.engine.evaluate.detectors.scale import Scale
from tocsin.engine.frame import Floats

_SLACK: Final = np.float32(1)  # scales
_MOST: Final = np.float32(8)  # scales: so much of one value counts
_HIGHEST: Final = np.float32(50)


class ChangePoint(Rarity):
    """See the module. The measure is the greater of the two sums, that of falling negative."""

    measures = ("cumulative sum",)
    shape = tails.EXPONENTIAL  # of a sum of independent steps that fall on the mean (Cramer and Lundberg)

    def spec(self) -> Spec:
        """See Rarity."""
        return {**season.SPEC, **scale.SPEC, "rise": ("f4", 0, 0.0), "fall": ("f4", 0, 0.0)}

    def read(self, moment: Moment, local_s: Floats) -> Reading:
        """See Rarity."""
        columns, slots = self.columns, moment.slots
        outlook = season.foresee(columns, moment, local_s, self.habits)
        known = np.minimum(moment.age, outlook.clean).astype(np.int64)
        found = Scale(columns, moment, (outlook.rest / outlook.relative).astype(np.float64), known)
        held = np.clip(found.measured, -_MOST, _MOST)
        goes_on = ~outlook.anew
        rise = np.clip(columns["rise"][slots] * goes_on + held - _SLACK, 0, _HIGHEST)
        fall = np.clip(columns["fall"][slots] * goes_on - held - _SLACK, 0, _HIGHEST)
        columns["rise"][slots], columns["fall"][slots] = rise, fall
        measured = np.where(rise >= fall, rise, -fall).astype(np.float32)

        def learn(strange: Array) -> Array:
            found.learn()
            nothing = np.zeros(len(slots), np.float32)
            season.learn(columns, moment, outlook, nothing + 1, nothing, self.habits)
            return 1 - strange.astype(np.float32)

        return Reading(measured[None], known, outlook.anew, outlook.band(moment.unit), learn)
