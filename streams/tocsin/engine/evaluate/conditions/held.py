"""A condition that its lane has judged already: the value is 1 while it holds, and 0 while it does not."""

import numpy as np

from tocsin.engine.evaluate.condition import Condition, Flags
from tocsin.engine.frame import Floats
from tocsin.schemas.kinds import Level
from tocsin.schemas.rule import Rule


class Held(Condition):
    """Absence and composite rules."""

    def __init__(self, levels: list[tuple[Rule, Level]]) -> None:
        self._columns = len(levels)

    @staticmethod
    def form(rule: Rule) -> str:
        """See Condition."""
        return rule.condition

    def may_begin(self, low: Floats, high: Floats) -> Flags:
        """See Condition."""
        return np.repeat(high[:, None] > 0, self._columns, axis=1)

    def may_fail(self, low: Floats, high: Floats) -> Flags:
        """See Condition."""
        return np.repeat(low[:, None] <= 0, self._columns, axis=1)

    may_end = may_fail

    def begins(self, column: int, value: float) -> bool:
        """See Condition."""
        return value > 0

    def ends(self, column: int, value: float) -> bool:
        """See Condition."""
        return value <= 0
