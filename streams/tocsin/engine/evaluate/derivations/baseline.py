"""How far a value is from what was learnt to be ordinary: in scales, in percent, or in the unit of the metric."""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.derivation import Derivation
from tocsin.engine.evaluate.detectors.season import WIDE, Habits
from tocsin.engine.evaluate.detectors.seasonal import Seasonal
from tocsin.engine.evaluate.learner import Learner, Turn
from tocsin.engine.evaluate.points import Points
from tocsin.engine.evaluate.trail import Trail
from tocsin.engine.frame import Floats
from tocsin.schemas.learning import Baseline

_WARM: Final = 30  # values
_SIGMA: Final = 1.25  # a standard deviation in mean sizes, where values are normally distributed
BAND_SCALES: Final = WIDE / _SIGMA  # half of the band of ordinary values, in scales
_LEAST: Final = 1e-6  # a scale of a series that never changes, in parts of its level
_STRANGE: Final = 5.0  # scales from which a value is an incident, and not learnt


class Deviation(Derivation):
    """Signed where the rule looks above; mirrored below; the distance where it looks at both sides."""

    def __init__(self, settings: Baseline, hop_ms: int, upwards: bool) -> None:
        self._settings = settings
        detector = Seasonal(Habits(settings.seasonality, settings.memory / 1_000))
        self._learner = Learner(detector, settings, {})
        self.columns = self._learner.columns

    def inherit(self, other: Derivation) -> None:
        """See Derivation. What was an incident by other settings is none by these."""
        super().inherit(other)
        self.columns["incident"][:] = 0

    def derive(self, points: Points) -> Points:
        """See Derivation."""
        points = self.known(points, self._settings.learn_from)
        trail = Trail(len(points))
        values = np.full(len(points), np.nan)
        for turn in self._learner.turns(points):
            scale = self._scale(turn)
            with np.errstate(over="ignore"):
                distance = turn.values - turn.finding.expected
                scales = distance / scale
            knows = (turn.age > _WARM) & self._learner.is_warm(turn)
            self._learner.settle(turn, knows & (np.abs(scales) >= _STRANGE))
            values[turn.index] = np.where(knows, self._judged(turn, distance, scales), np.nan)
            trail.note(turn, np.abs(scales), {"scale": scale})
        return trail.derived(points, values)

    def _scale(self, turn: Turn) -> Floats:
        with np.errstate(over="ignore"):
            half = turn.finding.upper / 2 - turn.finding.lower / 2
        least = np.maximum(_LEAST * np.abs(turn.finding.expected), np.finfo(float).tiny)
        return np.asarray(np.maximum(half / BAND_SCALES, least))

    def _judged(self, turn: Turn, distance: Floats, scales: Floats) -> Floats:
        expected, settings = turn.finding.expected, self._settings
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            percent = np.where(expected == 0, np.nan, 100 * (distance / np.abs(expected)))
        found = {"scales": scales, "percent": percent, "absolute": distance}[settings.unit]
        if settings.direction == "both":
            found = np.abs(found)
        elif settings.direction == "below":
            found = -found
        return np.where(turn.far(settings), found, 0.0)
