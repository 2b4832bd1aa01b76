"""A change of level: two cumulative sums of what the season leaves over (CUSUM, Page 1954).

Each sum grows by how far values are above (below) what is expected, less a slack of one scale, and does not fall below
0. So what is too little to be seen in one value adds up. How high a sum has to be is found by the tail of its own past.
It grows no higher than 50 scales, so that it has come down soon after a change is over.

Nothing is summed up before the time of day is known, as until then every morning would be a change; nor is much of it
before it is known well: what a half hour was foretold by so many visits may be off by a band of ordinary values over
that number, so the slack is wider by that. Where there is no season, said so, that is left out.

Of a Gaussian series a sum exceeds its quantile by half the variance over the slack on the mean (Siegmund 1985), and
where each sample is like the last by 0.6, by four times that: so much is held of a series before its sums have shown
how high they go.
"""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.condition import Flags
from tocsin.engine.evaluate.detector import Array, Moment
from tocsin.engine.evaluate.detectors import scale, season, tails
from tocsin.engine.evaluate.detectors.rarity import Rarity, Reading
from tocsin.engine.evaluate.detectors.scale import Scale
from tocsin.engine.evaluate.detectors.season import Outlook
from tocsin.engine.frame import Floats, Ints

_SLACK: Final = np.float32(1)  # scales
_MOST: Final = np.float32(8)  # scales: so much of one value counts
_HIGHEST: Final = np.float32(50)
_VARIANCE: Final = np.pi / 2  # of a Gaussian, in scales
_ALIKE: Final = 0.6
_EXCESS: Final = _VARIANCE / (2 * float(_SLACK)) * (1 + _ALIKE) / (1 - _ALIKE)


class ChangePoint(Rarity):
    """See the module. The measure is the greater of the two sums, that of falling negative."""

    measures = ("cumulative sum",)
    prior = tails.Prior(0.0, _EXCESS)  # exponential, as of sums of steps that fall on the mean (Cramer and Lundberg)

    def spec(self) -> Spec:
        """See Rarity."""
        return {**season.SPEC, **scale.SPEC, "rise": ("f4", 0, 0.0), "fall": ("f4", 0, 0.0)}

    def read(self, moment: Moment, local_s: Floats) -> Reading:
        """See Rarity."""
        columns, slots = self.columns, moment.slots
        outlook = season.foresee(columns, moment, local_s, self.habits)
        known, tells, slack = self._known(moment, outlook)
        found = Scale(columns, moment, (outlook.rest / outlook.relative).astype(np.float64), known)
        held = np.clip(found.measured, -_MOST, _MOST) * tells
        goes_on = ~outlook.anew
        rise = np.clip(columns["rise"][slots] * goes_on + held - slack, 0, _HIGHEST)
        fall = np.clip(columns["fall"][slots] * goes_on - held - slack, 0, _HIGHEST)
        columns["rise"][slots], columns["fall"][slots] = rise, fall
        measured = np.where(rise >= fall, rise, -fall).astype(np.float32)

        def learn(strange: Array) -> Array:
            found.learn()
            nothing = np.zeros(len(slots), np.float32)
            season.learn(columns, moment, outlook, nothing + 1, nothing, self.habits)
            return 1 - strange.astype(np.float32)

        return Reading(measured[None], known, outlook.anew, outlook.band(moment.unit), learn)

    def _known(self, moment: Moment, outlook: Outlook) -> tuple[Ints, Flags, Array]:
        """How many samples could tell a change, counted from 1, which of these can, and the slack of their sums."""
        known = np.minimum(moment.age, outlook.clean)
        if self.habits.periods == "none":
            return known.astype(np.int64), np.ones(len(known), bool), np.full(len(known), _SLACK)
        slack = _SLACK + np.float32(season.WIDE) / np.maximum(outlook.visits, 1)
        known = np.maximum(np.minimum(known, outlook.days_known), 1)
        return known.astype(np.int64), outlook.known[1], slack
