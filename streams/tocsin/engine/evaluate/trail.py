"""What is noted of values while a rule learns them, for evidence and for charts."""

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from tocsin.engine.evaluate.learner import Turn
from tocsin.engine.evaluate.points import Course, Points
from tocsin.engine.frame import Floats
from tocsin.schemas.signal import Evidence

_LARGEST: Final = float(np.finfo(np.float64).max)
_LEAST_VOTE: Final = 0.005  # a score shows two decimals


class Trail:
    """Entries for so many values, filled turn by turn."""

    def __init__(self, length: int) -> None:
        self._course = Course(*(np.full(length, np.nan) for _ in range(5)))
        self._more: dict[str, Floats] = {}
        self._votes: dict[str, Floats] = {}

    def note(self, turn: Turn, score: Floats, more: Mapping[str, Floats]) -> None:
        """What was found of the values of one turn; `more` are further figures, of the same names each time."""
        finding, course = turn.finding, self._course
        found = (turn.values, finding.expected, finding.lower, finding.upper, score)
        for array, values in zip(course.columns(), found, strict=True):
            array[turn.index] = np.clip(values, -_LARGEST, _LARGEST)
        for kept, parts in ((self._more, more), (self._votes, finding.votes)):
            for name, values in parts.items():
                kept.setdefault(name, np.zeros(len(course.values)))[turn.index] = np.minimum(values, _LARGEST)

    def derived(self, points: Points, values: Floats) -> Points:
        """The points with other values, which know what is behind them."""
        evidence, course = points.evidence, self._course

        def learnt(index: int) -> Evidence:
            names = ("value", "expected", "lower", "upper", "score")
            facts = {name: float(array[index]) for name, array in zip(names, course.columns(), strict=True)}
            facts |= {name: float(array[index]) for name, array in self._more.items()}
            votes = {name: float(array[index]) for name, array in self._votes.items() if array[index] > _LEAST_VOTE}
            return msgspec.structs.replace(evidence(index), facts=facts, votes=votes)

        return Points(points.slots, points.begins, points.at_ms, values, learnt, course).usable()
