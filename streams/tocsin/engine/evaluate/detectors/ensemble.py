"""The default of `anomaly`: six measures of what the season leaves over, as one return period."""

import numpy as np

from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.detector import Array, Moment
from tocsin.engine.evaluate.detectors import horizons, season
from tocsin.engine.evaluate.detectors.horizons import MEASURES, Horizons
from tocsin.engine.evaluate.detectors.rarity import Rarity, Reading
from tocsin.engine.frame import Floats


class Ensemble(Rarity):
    """See the module, and those of `season`, `horizons` and `rarity`."""

    measures = MEASURES

    def spec(self) -> Spec:
        """See Rarity."""
        return {**season.SPEC, **horizons.SPEC}

    def read(self, moment: Moment, local_s: Floats) -> Reading:
        """See Rarity."""
        outlook = season.foresee(self.columns, moment, local_s, self.habits)
        seen = Horizons(self.columns, moment, outlook)

        def learn(strange: Array) -> Array:
            share, moved = seen.learn(strange)
            season.learn(self.columns, moment, outlook, share, moved, self.habits)
            return share

        known = np.minimum(moment.age, outlook.clean)
        return Reading(seen.measures, known, outlook.anew, outlook.band(moment.unit), learn)
