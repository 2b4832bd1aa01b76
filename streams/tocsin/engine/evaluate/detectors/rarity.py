"""Detectors that say how rare a sample is: measures of how strange, each held to its own past, as one return period.

The period of all is the harmonic mean p-value of the measures (Wilson 2019), which holds however they depend on each
other: one measure that is sure is enough. The score is ln(1 + days), where such a sample comes once in so many days if
nothing changes. It is shown once an incident (`hold`).
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.detector import CLOCK, Array, Detector, Finding, Moment, arrive
from tocsin.engine.evaluate.detectors import hold, tails
from tocsin.engine.evaluate.detectors.hold import STRANGE, Hold
from tocsin.engine.evaluate.detectors.season import AUTO, Habits
from tocsin.engine.evaluate.detectors.tails import Tails
from tocsin.engine.frame import Floats, Ints

WARM_SAMPLES: Final = 120
_BLOCK: Final = 1024  # series at a time: what is worked on stays in the cache


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
    told = frozenset(hold.SPEC)

    def __init__(self, habits: Habits = AUTO) -> None:
        self.habits = habits
        self.columns = Columns({**CLOCK, **self.spec(), **tails.spec(len(self.measures), self.prior), **hold.SPEC})

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
        tail.learn(reading.learn(score > STRANGE), reading.known)
        _, lower, upper = reading.band
        held = Hold(self.columns, moment, (values < lower) | (values > upper))
        at, most_s = held.perhaps_news(score)
        news = at[self._score(tail.newer(at, most_s))[0] > STRANGE] if len(at) else at
        return Finding(held.shown(score, news), *reading.band, votes)

    def _combined(self, days: Array, warm: Array) -> tuple[Array, dict[str, Floats]]:
        """The score, and the votes of the measures, both directions together."""
        days *= warm
        score, of_each = self._score(days)
        votes = np.where(of_each >= 1, np.log1p(of_each), 0).astype(np.float64)
        return score, dict(zip(self.measures, votes, strict=True))

    def _score(self, days: Array) -> tuple[Array, Array]:
        """The score of return periods, and the period of each measure."""
        count = len(self.measures)
        of_each = days[:count] + days[count:]  # one of the two is 0
        total = of_each[0].copy()
        for each in of_each[1:]:  # not `sum`: its order of adding depends on how many columns there are
            total += each
        return np.log1p(total / (2 * count)), of_each


def joined(parts: list[Finding]) -> Finding:
    """Findings one after the other."""
    return Finding(
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.expected for part in parts]),
        np.concatenate([part.lower for part in parts]),
        np.concatenate([part.upper for part in parts]),
        {name: np.concatenate([part.votes[name] for part in parts]) for name in parts[0].votes},
    )
