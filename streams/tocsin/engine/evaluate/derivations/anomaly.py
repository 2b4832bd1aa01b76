"""How strange a value is by the past of its own series: the highest score of the incident that it lies in, or 0."""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.condition import Flags
from tocsin.engine.evaluate.derivation import Derivation
from tocsin.engine.evaluate.detectors import DETECTORS
from tocsin.engine.evaluate.detectors.season import Habits
from tocsin.engine.evaluate.learner import Learner, Turn
from tocsin.engine.evaluate.points import Points
from tocsin.engine.evaluate.trail import Trail
from tocsin.engine.frame import Floats
from tocsin.schemas.learning import Anomaly

_DAY_MS: Final = 86_400_000
_MOST_DAYS: Final = 1e9  # beyond, a return period is a figure of speech


class Strangeness(Derivation):
    """See the module. A score is ln(1 + days), where such a value comes once in so many days."""

    def __init__(self, settings: Anomaly, hop_ms: int, upwards: bool) -> None:
        self._settings = settings
        self._needed = np.log1p(settings.rare_ms / _DAY_MS)
        detector = DETECTORS[settings.detector](Habits(settings.seasonality, settings.memory / 1_000))
        self._learner = Learner(detector, settings, {"incident_score": ("f8", 0, 0.0)})
        self.columns = self._learner.columns

    def inherit(self, other: Derivation) -> None:
        """See Derivation. What was an incident by other settings is none by these."""
        super().inherit(other)
        self.columns["incident"][:] = 0

    def derive(self, points: Points) -> Points:
        """See Derivation."""
        points = self.known(points, self._settings.learn_from)
        trail = Trail(len(points))
        values = np.zeros(len(points))
        for turn in self._learner.turns(points):
            goes_on, begins = self._learner.settle(turn, self._strange(turn))
            score = values[turn.index] = self._rate(turn, goes_on, begins)
            trail.note(turn, score, {"once_in_days": np.minimum(np.expm1(score), _MOST_DAYS)})
        return trail.derived(points, values)

    def _strange(self, turn: Turn) -> Flags:
        found = (turn.finding.score >= self._needed) & self._learner.is_warm(turn) & turn.wrong(self._settings)
        if self._settings.votes > 1 and found.any():
            count = np.sum([vote > 0 for vote in turn.finding.votes.values()], axis=0)
            found &= count >= self._settings.votes
        return np.asarray(found)

    def _rate(self, turn: Turn, goes_on: Flags, begins: Flags) -> Floats:
        """The highest score of each slot's incident, 0 where there is none."""
        before = np.where(goes_on & ~begins, self.columns["incident_score"][turn.slots], 0.0)
        score = np.where(goes_on, np.maximum(before, turn.finding.score), 0.0)
        self.columns["incident_score"][turn.slots] = score
        return score
