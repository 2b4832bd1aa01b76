"""How strange a value is by the past of its own series: the highest score of the incident that it lies in, or 0."""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.condition import Flags
from tocsin.engine.evaluate.derivation import Derivation
from tocsin.engine.evaluate.detectors.ensemble import Ensemble
from tocsin.engine.evaluate.detectors.season import Habits
from tocsin.engine.evaluate.learner import Learner, Turn
from tocsin.engine.evaluate.points import Points
from tocsin.engine.evaluate.trail import Trail
from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.learning import Anomaly

# Scores. On generated operations metrics these give about 1, 0.5 and 0.1 false alarms a series and week.
_NEEDED: Final = {"high": 0.013, "medium": 0.044, "low": 0.5}
_YOUNG: Final = 2_000  # samples: before, a series' bars are low, and more is asked for; 2 scores at 120 samples
_PRUDENCE: Final = 0.75
_GRADES: Final = 12
_LEAST_GRADE: Final = 0.01
_NEVER: Final = -1e18

_OWN: Final[Spec] = {
    "peak": ("f8", 0, 0.0),
    "rare_s": ("f8", 0, 0.0),
    "last_s": ("f8", _GRADES, _NEVER),
}


class Strangeness(Derivation):
    """See the module. A score is as rare as it is long since the last incident that was at least as strange, by grades
    that double; or since the series is known, if there was none."""

    def __init__(self, settings: Anomaly, hop_ms: int, upwards: bool) -> None:
        self._settings = settings
        detector = Ensemble(Habits(settings.seasonality, settings.memory / 1_000))
        self._learner = Learner(detector, settings, {f"anomaly_{name}": spec for name, spec in _OWN.items()})
        self.columns = self._learner.columns

    def inherit(self, other: Derivation) -> None:
        """See Derivation. What was an incident by other settings is none by these."""
        super().inherit(other)
        self.columns["open"][:] = 0

    def derive(self, points: Points) -> Points:
        """See Derivation."""
        points = self.known(points, self._settings.learn_from)
        trail = Trail(len(points))
        values = np.zeros(len(points))
        for turn in self._learner.turns(points):
            goes_on, begins = self._learner.settle(turn, self._strange(turn))
            peak, rare_s = self._rate(turn, goes_on, begins)
            values[turn.index] = peak
            trail.note(turn, peak, {"rare_s": rare_s})
        return trail.derived(points, values)

    def _strange(self, turn: Turn) -> Flags:
        needed = _NEEDED[self._settings.sensitivity] + _PRUDENCE * np.log(np.maximum(_YOUNG / turn.age, 1.0))
        found = (turn.finding.score >= needed) & self._learner.is_warm(turn) & turn.wrong(self._settings)
        if self._settings.votes > 1 and found.any():
            count = np.sum([vote > 0 for vote in turn.finding.votes.values()], axis=0)
            found &= count >= self._settings.votes
        return np.asarray(found)

    def _rate(self, turn: Turn, goes_on: Flags, begins: Flags) -> tuple[Floats, Floats]:
        """The highest score of each slot's incident, and how rare such a one is, in seconds."""
        columns, slots = self.columns, turn.slots
        before = np.where(goes_on & ~begins, columns["anomaly_peak"][slots], 0.0)
        peak = np.where(goes_on, np.maximum(before, turn.finding.score), 0.0)
        rare_s = np.where(goes_on, columns["anomaly_rare_s"][slots], 0.0)
        rises = np.flatnonzero(peak > before)
        if len(rises):
            rare_s[rises] = self._rarity(slots[rises], turn.at_s[rises], peak[rises], rare_s[rises], begins[rises])
        columns["anomaly_peak"][slots], columns["anomaly_rare_s"][slots] = peak, rare_s
        return peak, rare_s

    def _rarity(self, slots: Ints, at_s: Floats, peak: Floats, rare_s: Floats, begins: Flags) -> Floats:
        grade = np.clip(np.log2(peak / _LEAST_GRADE), 0, _GRADES - 1).astype(np.int64)
        last_s = self.columns["anomaly_last_s"][slots]
        alike = np.arange(_GRADES) >= grade[:, None]
        since_s = np.maximum(np.where(alike, last_s, _NEVER).max(axis=1), self.columns["first_s"][slots])
        last_s[np.arange(len(slots)), grade] = at_s
        self.columns["anomaly_last_s"][slots] = last_s
        # An incident that rises within its grade is as rare as it was.
        return np.asarray(np.where(begins, at_s - since_s, np.maximum(rare_s, at_s - since_s)))
