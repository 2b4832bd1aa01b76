"""Detectors that say how rare a sample is: measures of how strange, each held to its own past, as one return period.

The period of all is the harmonic mean p-value of the measures (Wilson 2019), which holds however they depend on each
other: one measure that is sure is enough. The score is ln(1 + days), where such a sample comes once in so many days if
nothing changes. It is shown where it clearly passes what was shown last, which fades within half a day once nothing is
strange any more: one alarm an incident.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.detector import CLOCK, Array, Detector, Finding, Moment, arrive
from tocsin.engine.evaluate.detectors import tails
from tocsin.engine.evaluate.detectors.season import AUTO, Habits
from tocsin.engine.evaluate.detectors.tails import Tails
from tocsin.engine.frame import Floats, Ints

WARM_SAMPLES: Final = 120
_STRANGE: Final = np.float32(np.log1p(30))  # what comes once in a month is not learnt
_HOLD_S: Final = 12 * 3600.0
_MARGIN: Final = 1.3
_BLOCK: Final = 1024  # series at a time: what is worked on stays in the cache
_SHOWN: Final[Spec] = {"shown": ("f4", 0, 0.0), "shown_s": ("f8", 0, -1e18)}


@dataclass(frozen=True, slots=True)
class Reading:
    """Samples as a detector sees them: `measures` (measures x slots, signed, at most a few powers of ten), how many
    samples these know, and where they begin `anew`; what is expected and the ends of the band of ordinary values, in
    the unit of the series. `learn` takes which samples are strange and gives the share by which tails learn each."""

    measures: Array
    known: Array
    anew: Array
    band: tuple[Floats, Floats, Floats]
    learn: Callable[[Array], Array]


class Rarity(Detector):
    """See the module. A vote is ln(1 + days) of one measure alone, 0 if it is ordinary: more often than once a day."""

    measures: ClassVar[tuple[str, ...]]
    prior: ClassVar[tails.Prior] = tails.GAUSSIAN

    def __init__(self, habits: Habits = AUTO) -> None:
        self.habits = habits
        self.columns = Columns({**CLOCK, **self.spec(), **tails.spec(len(self.measures), self.prior), **_SHOWN})

    @abstractmethod
    def spec(self) -> Spec:
        """The columns of its own."""

    @abstractmethod
    def read(self, moment: Moment, local_s: Floats) -> Reading:
        """Measure samples. `local_s` is the time on the wall where the series lives."""

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
        moment = arrive(self.columns, slots, at_s, values)
        reading = self.read(moment, local_s)
        tail = Tails(self.columns, moment, reading.measures, reading.anew, self.prior)
        score, votes = self._combined(tail.days, reading.known >= WARM_SAMPLES)
        tail.learn(reading.learn(score > _STRANGE), reading.known)
        return Finding(self._shown(moment, score), *reading.band, votes)

    def _shown(self, moment: Moment, score: Array) -> Floats:
        columns, slots = self.columns, moment.slots
        shown, shown_s = columns["shown"][slots], columns["shown_s"][slots]
        held = shown * np.maximum(0, 1 - (moment.at_s - shown_s) / _HOLD_S)
        shows = score > held * _MARGIN
        columns["shown"][slots] = np.where(shows, score, shown)
        columns["shown_s"][slots] = np.where(shows | (score > _STRANGE), moment.at_s, shown_s)
        return np.where(shows, score, 0).astype(np.float64)

    def _combined(self, days: Array, warm: Array) -> tuple[Array, dict[str, Floats]]:
        """The score, and the votes of the measures, both directions together."""
        count = len(self.measures)
        days *= warm
        of_each = days[:count] + days[count:]  # one of the two is 0
        total = of_each[0].copy()
        for each in of_each[1:]:  # not `sum`: its order of adding depends on how many columns there are
            total += each
        votes = np.where(of_each >= 1, np.log1p(of_each), 0).astype(np.float64)
        return np.log1p(total / (2 * count)), dict(zip(self.measures, votes, strict=True))


def joined(parts: list[Finding]) -> Finding:
    """Findings one after the other."""
    return Finding(
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.expected for part in parts]),
        np.concatenate([part.lower for part in parts]),
        np.concatenate([part.upper for part in parts]),
        {name: np.concatenate([part.votes[name] for part in parts]) for name in parts[0].votes},
    )
