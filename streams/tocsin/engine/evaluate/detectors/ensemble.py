"""The default of `anomaly`: many weak measures of how strange a sample is, each held to its own past, summed.

What is shown is the sum where it passes what was shown last, which fades over five hours: one alarm an incident.
"""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.detector import CLOCK, Array, Detector, Finding, Moment, arrive
from tocsin.engine.evaluate.detectors import season, shapes, tails, tracks
from tocsin.engine.evaluate.detectors.season import AUTO, DAY_S, Habits, Outlook
from tocsin.engine.frame import Floats, Ints

WARM_SAMPLES: Final = 120
_UNIT_S: Final = 17 * DAY_S
_HOLD_S: Final = 60 * 300.0
_MARGIN: Final = 1.3
_FAITH: Final = 1.5  # a season that explains two thirds is all that counts
_BLOCK: Final = 1024  # series at a time: what is worked on stays in the cache

SPEC: Final[Spec] = {
    **CLOCK,
    **season.SPEC,
    **tracks.SPEC,
    **tails.SPEC,
    **shapes.SPEC,
    "mean_size": ("f8", 0, 0.0),
    "shown": ("f8", 0, 0.0),
    "shown_s": ("f8", 0, -1e18),
}


class Ensemble(Detector):
    """See the module."""

    def __init__(self, habits: Habits = AUTO) -> None:
        self.columns = Columns(SPEC)
        self._habits = habits

    def look(self, slots: Ints, at_s: Floats, values: Floats, local_s: Floats | None = None) -> Finding:
        """See Detector."""
        local_s = at_s if local_s is None else local_s
        parts = [
            self._look(
                slots[begin : begin + _BLOCK], *(array[begin : begin + _BLOCK] for array in (at_s, values, local_s))
            )
            for begin in range(0, len(slots), _BLOCK)
        ]
        return parts[0] if len(parts) == 1 else joined(parts)

    def _look(self, slots: Ints, at_s: Floats, values: Floats, local_s: Floats) -> Finding:
        columns = self.columns
        moment = arrive(columns, slots, at_s, values)
        outlook = season.foresee(columns, moment, local_s, self._habits)
        views = np.stack((moment.x, self._logarithm(moment), outlook.rest))
        ages = np.stack((moment.age, moment.age, outlook.clean)).astype(np.float64)
        measures = tracks.measure(columns, moment, views, ages)
        passed = tails.evidence(columns, moment, measures, ages, outlook.anew)
        weights = _weights(moment, outlook, ages)
        votes = _votes(passed, weights)
        new_shape, up, down = shapes.evidence(columns, moment, measures[2, 0].astype(np.float64))
        votes["shape"], votes["drift"] = new_shape, up + down
        total = np.zeros(len(slots))
        for vote in votes.values():
            total += vote
        return self._finding(moment, outlook, total, votes)

    def _logarithm(self, moment: Moment) -> Floats:
        size = np.abs(moment.x)
        mean = self.columns["mean_size"][moment.slots]
        mean += moment.gain(_UNIT_S) * (size - mean)
        self.columns["mean_size"][moment.slots] = mean
        return np.asarray(np.sign(moment.x) * np.log1p(size / (0.05 * mean + 1e-12)))

    def _finding(self, moment: Moment, outlook: Outlook, total: Floats, votes: dict[str, Floats]) -> Finding:
        columns, slots = self.columns, moment.slots
        shown, shown_s = columns["shown"][slots], columns["shown_s"][slots]
        held = shown * np.maximum(0, 1 - (moment.at_s - shown_s) / _HOLD_S)
        shows = total > held * _MARGIN
        columns["shown"][slots] = np.where(shows, total, shown)
        columns["shown_s"][slots] = np.where(shows, moment.at_s, shown_s)
        return Finding(np.where(shows, total, 0.0), *outlook.band(moment.unit), votes)


def _weights(moment: Moment, outlook: Outlook, ages: Array) -> Array:
    """Tracks x slots. The more the season explains, the more the track without it counts, and the others less."""
    ripe = np.clip(outlook.clean * moment.cadence_s / (DAY_S / 2) - 1, 0, 1)
    season_share = np.where(outlook.found, np.minimum(_FAITH * outlook.explains, 1.0) * ripe, 0.0)
    plain = 1 - season_share
    return np.stack((plain, plain, season_share)) * (ages >= WARM_SAMPLES)


def _votes(passed: Array, weights: Array) -> dict[str, Floats]:
    """What each measure adds, over tracks and directions; in an order of adding that does not depend on the batch."""
    votes = {}
    for name, of_tracks in zip(tracks.MEASURES, passed, strict=True):
        vote = np.zeros(weights.shape[1])
        for track, weight in zip(of_tracks, weights, strict=True):
            vote += (track[0] + track[1]) * weight
        votes[name] = vote
    return votes


def joined(parts: list[Finding]) -> Finding:
    """Findings one after the other."""
    return Finding(
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.expected for part in parts]),
        np.concatenate([part.lower for part in parts]),
        np.concatenate([part.upper for part in parts]),
        {name: np.concatenate([part.votes[name] for part in parts]) for name in parts[0].votes},
    )
