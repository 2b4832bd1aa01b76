"""What rules that learn do with a detector: incidents, what is learnt meanwhile, and a level that has moved for good.

An incident begins with a value that its rule finds strange, and ends when values have been back in the band of ordinary
ones for a while. Unless the rule lets it learn, the detector stands still meanwhile: an outage is not learnt.

An incident that goes on for the rule's `relearn_after` is the new normal: the band moves by how far its values were, on
the mean, from what was expected. A detector that stood still is given values less that distance, so that season and
spread are kept and nothing need be learnt anew. Should the series come back to where it was, that is no news.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.condition import Flags
from tocsin.engine.evaluate.detector import Detector, Finding, rounds
from tocsin.engine.evaluate.points import Points
from tocsin.engine.evaluate.wall_clock import WallClock
from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.learning import Learning

_CALM: Final = 3  # values in the band that end an incident
_STRAY: Final = 1 / 32
_REMEMBERED_S: Final = 14 * 86_400.0  # for so long a series may come back to its level before it moved
_LARGEST: Final = float(np.finfo(np.float64).max)
_UNSEEN: Final = -1e18

_OWN: Final[Spec] = {
    "watched_s": ("f8", 0, _UNSEEN),
    "incident": ("u1", 0, 0),
    "incident_calm": ("u1", 0, 0),
    "incident_s": ("f8", 0, _UNSEEN),
    "incident_length": ("i4", 0, 0),  # of the incident, in values
    "incident_stray": ("f8", 0, 0.0),  # mean distance from what was expected during the incident
    "shift": ("f8", 0, 0.0),
    "shift_s": ("f8", 0, _UNSEEN),  # when the level was last taken for the new normal
}


@dataclass(frozen=True, slots=True)
class Turn:
    """At most one value of each slot: their `index` among the points, and what the detector found."""

    index: NDArray[np.intp]
    slots: Ints
    at_s: Floats
    values: Floats
    age: Ints
    finding: Finding
    is_home: Flags

    def far(self, settings: Learning) -> Flags:
        """Which lie far enough from what was expected."""
        with np.errstate(over="ignore"):
            distance = np.abs(self.values - self.finding.expected)
            least = np.abs(self.finding.expected) * (settings.min_deviation_percent / 100)
        return np.asarray((distance >= settings.min_deviation) & (distance >= least))

    def wrong(self, settings: Learning) -> Flags:
        """Which of these lie on the side where values are wrong."""
        expected = self.finding.expected
        if settings.direction == "both":
            return self.far(settings)
        is_wrong = self.values > expected if settings.direction == "above" else self.values < expected
        return np.asarray(self.far(settings) & is_wrong)


class Learner:
    """A detector and its series' incidents, in the columns of the detector."""

    def __init__(self, detector: Detector, settings: Learning, own: Spec) -> None:
        taught = detector.columns.spec
        assert not taught.keys() & (_OWN.keys() | own.keys())
        self.columns = detector.columns = Columns({**taught, **_OWN, **own})
        self._detector = detector
        self._settings = settings
        self._clock = WallClock(settings.time_zone)
        self._taught = [name for name in taught if name not in detector.told]
        self._relearn_s, self._memory_s = settings.relearn_after / 1_000, settings.memory / 1_000

    def turns(self, points: Points) -> Iterator[Turn]:
        """Look at values in order of time, one of each slot at a time. Each turn must be settled before the next."""
        owners, at_s = points.owners(), points.at_ms / 1_000.0
        for index in rounds(owners):
            yield self._look(index, owners[index], at_s[index], points.values[index])

    def is_warm(self, turn: Turn) -> Flags:
        """Which series have been watched for as long as the rule asks for."""
        return np.asarray(turn.at_s - self.columns["watched_s"][turn.slots] >= self._settings.warm_up / 1_000)

    def _look(self, index: NDArray[np.intp], slots: Ints, at_s: Floats, values: Floats) -> Turn:
        columns = self.columns
        first_s = columns["watched_s"][slots]
        columns["watched_s"][slots] = np.where(first_s == _UNSEEN, at_s, first_s)
        still = self._standing_still(slots, at_s)
        kept = {name: columns[name][slots[still]] for name in self._taught} if len(still) else {}
        shift = self._shift(slots, at_s)
        with np.errstate(over="ignore"):
            seen = values if self._settings.learn_anomalies else np.clip(values - shift, -_LARGEST, _LARGEST)
        finding = self._detector.look(slots, at_s, seen, self._clock(at_s))
        is_home = np.zeros(len(slots), bool)
        if shift.any():
            finding, is_home = _moved(finding, values, shift, at_s - columns["shift_s"][slots] < _REMEMBERED_S)
            columns["shift"][slots] = np.where(is_home, 0.0, shift)
        for name, rows in kept.items():
            columns[name][slots[still]] = rows
        return Turn(index, slots, at_s, values, columns["seen"][slots], finding, is_home)

    def _standing_still(self, slots: Ints, at_s: Floats) -> NDArray[np.intp]:
        """Where nothing is learnt. After the level moved everything is, for as long as that took to be believed."""
        if self._settings.learn_anomalies:
            return np.empty(0, np.intp)
        since_s = at_s - self.columns["shift_s"][slots]
        return np.flatnonzero((self.columns["incident"][slots] > 0) & (since_s >= 2 * self._relearn_s))

    def _shift(self, slots: Ints, at_s: Floats) -> Floats:
        """By how much the band of each slot is moved: less and less where the detector learns the new level itself."""
        shift = self.columns["shift"][slots]
        if self._settings.learn_anomalies and shift.any():
            step_s = np.maximum(at_s - self.columns["last_s"][slots], 0.0)
            shift = shift * np.exp(-step_s / self._memory_s)
        return np.asarray(shift)

    def settle(self, turn: Turn, strange: Flags) -> tuple[Flags, Flags]:
        """Go on with incidents: which of the values lie in one, and which begin one."""
        columns, slots, finding = self.columns, turn.slots, turn.finding
        was = columns["incident"][slots] > 0
        begins = strange & ~was & ~turn.is_home
        inside = (turn.values >= finding.lower) & (turn.values <= finding.upper)
        calm = np.where(inside & was, np.minimum(columns["incident_calm"][slots] + 1, _CALM), 0)
        lasts = was & (calm < _CALM) & ~turn.is_home
        since_s = np.where(begins, turn.at_s, columns["incident_s"][slots])
        length = np.where(begins, 1, columns["incident_length"][slots] + 1)
        stray = np.where(begins, 0.0, columns["incident_stray"][slots])
        with np.errstate(over="ignore"):
            far = np.clip(turn.values - finding.expected, -_LARGEST / 4, _LARGEST / 4)
            stray = stray + (far - stray) * np.maximum(1 / np.minimum(length, 2**30), _STRAY)
        moves = lasts & (turn.at_s - since_s >= self._relearn_s)
        columns["shift"][slots[moves]] += stray[moves]
        columns["shift_s"][slots[moves]] = turn.at_s[moves]
        goes_on = (lasts & ~moves) | begins
        incident = {"incident": goes_on, "incident_calm": calm, "incident_s": since_s}
        for name, value in {**incident, "incident_length": length, "incident_stray": stray}.items():
            columns[name][slots] = value
        columns.touch(slots)
        return goes_on, begins


def _moved(finding: Finding, values: Floats, shift: Floats, may_return: Flags) -> tuple[Finding, Flags]:
    """A finding in the unit of the series again, and which values are back where the series was before it moved."""
    with np.errstate(over="ignore"):
        strays = (values < finding.lower + shift) | (values > finding.upper + shift)
        is_home = may_return & (values >= finding.lower) & (values <= finding.upper) & strays
        apart = np.where(is_home, 0.0, shift)
        ends = [np.clip(at + apart, -_LARGEST, _LARGEST) for at in (finding.expected, finding.lower, finding.upper)]
    expected, lower, upper = ends
    return Finding(finding.score, expected, lower, upper, finding.votes), is_home
