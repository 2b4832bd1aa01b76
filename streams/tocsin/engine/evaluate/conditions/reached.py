"""Levels that a lane has told already: the value is how many of them are reached."""

import numpy as np

from tocsin.engine.evaluate.condition import Condition, Flags
from tocsin.engine.frame import Floats
from tocsin.schemas.kinds import Level
from tocsin.schemas.rule import Rule


class Reached(Condition):
    """Burn rates: a level's threshold is its place among the rule's levels, counted from 1."""

    def __init__(self, levels: list[tuple[Rule, Level]]) -> None:
        self._places = np.array([level.threshold for _, level in levels], np.float64)

    @staticmethod
    def form(rule: Rule) -> str:
        """See Condition."""
        return rule.condition

    def may_begin(self, low: Floats, high: Floats) -> Flags:
        """See Condition."""
        return np.asarray(high[:, None] >= self._places)

    def may_fail(self, low: Floats, high: Floats) -> Flags:
        """See Condition."""
        return np.asarray(low[:, None] < self._places)

    may_end = may_fail

    def begins(self, column: int, value: float) -> bool:
        """See Condition."""
        return bool(value >= self._places[column])

    def ends(self, column: int, value: float) -> bool:
        """See Condition."""
        return bool(value < self._places[column])
