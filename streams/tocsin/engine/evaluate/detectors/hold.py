"""One alarm an incident: which scores are shown after one that was.

A score is shown where it clearly passes what was shown last, which fades within half a day once nothing is strange any
more. That keeps noise that comes in bursts to one alarm, and what still remembers an incident, such as a mean of hours.

It must not hide a second incident. A series that has been back in its band, for at least as long as `_QUIET_S`, `_CALM`
samples, and half of the time that it had been leaving it, and then leaves it again, is on a new excursion. What is
strange in this by runs that began with it, not by what goes on since before, is shown if it comes once in a month:
noise is hardly ever so rare.
"""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.detector import Array, Moment
from tocsin.engine.evaluate.detectors.tails import STRANGE_DAYS
from tocsin.engine.frame import Floats, Ints

STRANGE: Final = np.float32(np.log1p(STRANGE_DAYS))
_HOLD_S: Final = 12 * 3600.0
_MARGIN: Final = 1.3
_QUIET_S: Final = 20 * 60.0
_CALM: Final = 3
_OF_LENGTH: Final = 0.5
_NEVER: Final = -1e18
SPEC: Final[Spec] = {
    "shown": ("f4", 0, 0.0),
    "shown_s": ("f8", 0, _NEVER),  # when something was shown or strange last
    "left_s": ("f8", 0, _NEVER),  # when the latest excursion began
    "away_s": ("f8", 0, _NEVER),  # when the series was out of its band last
}


class Hold:
    """One look, of samples of distinct slots; `away` marks those out of their band."""

    def __init__(self, columns: Columns, moment: Moment, away: Array) -> None:
        self._columns, self._moment = columns, moment
        self._at = at = np.flatnonzero(away)  # a few in a thousand
        slots, at_s = moment.slots[at], moment.at_s[at]
        left_s, away_s = columns["left_s"][slots], columns["away_s"][slots]
        self._quiet_s = np.maximum(_QUIET_S, _CALM * moment.cadence_s[at])
        leaves = at_s - away_s > np.maximum(self._quiet_s, _OF_LENGTH * (away_s - left_s))
        self._left_s = np.where(leaves, at_s, left_s)
        columns["left_s"][slots], columns["away_s"][slots] = self._left_s, at_s

    def perhaps_news(self, score: Array) -> tuple[Ints, Floats]:
        """Indexes of samples that may be the first strange ones of an excursion, and how old in seconds are at most the
        runs that began with it."""
        slots = self._moment.slots[self._at]
        found = (score[self._at] > STRANGE) & (self._columns["shown_s"][slots] < self._left_s)
        at = self._at[found]
        return at, self._moment.at_s[at] - self._left_s[found] + self._quiet_s[found]

    def shown(self, score: Array, news: Ints) -> Floats:
        """Scores that are shown, else 0; those at the indexes `news` are, whatever was shown before."""
        columns, moment = self._columns, self._moment
        shown, shown_s = columns["shown"][moment.slots], columns["shown_s"][moment.slots]
        held = shown * np.maximum(0, 1 - (moment.at_s - shown_s) / _HOLD_S)
        shows = score > held * _MARGIN
        shows[news] = True
        columns["shown"][moment.slots] = np.where(shows, np.maximum(score, held), shown)
        columns["shown_s"][moment.slots] = np.where(shows | (score > STRANGE), moment.at_s, shown_s)
        return np.where(shows, score, 0).astype(np.float64)
