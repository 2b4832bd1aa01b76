"""A value against a band: outside of it, or inside of it, is wrong."""

import numpy as np

from tocsin.engine.evaluate.condition import Condition, Flags
from tocsin.engine.frame import Floats
from tocsin.schemas.kinds import Level
from tocsin.schemas.rule import Rule


class Range(Condition):
    """Levels of rules that all look inside, or all outside. Both ends belong to the band."""

    def __init__(self, levels: list[tuple[Rule, Level]]) -> None:
        self._inside = levels[0][0].inside
        self._lower = np.array([level.lower for _, level in levels], np.float64)
        self._upper = np.array([level.upper for _, level in levels], np.float64)

    @staticmethod
    def form(rule: Rule) -> str:
        """See Condition."""
        return "inside" if rule.inside else "outside"

    def may_begin(self, low: Floats, high: Floats) -> Flags:
        """See Condition."""
        return self._may_lie_inside(low, high) if self._inside else self._may_lie_outside(low, high)

    def may_fail(self, low: Floats, high: Floats) -> Flags:
        """See Condition."""
        return self._may_lie_outside(low, high) if self._inside else self._may_lie_inside(low, high)

    may_end = may_fail

    def begins(self, column: int, value: float) -> bool:
        """See Condition."""
        return bool(self._lower[column] <= value <= self._upper[column]) is self._inside

    def ends(self, column: int, value: float) -> bool:
        """See Condition."""
        return not self.begins(column, value)

    def _may_lie_inside(self, low: Floats, high: Floats) -> Flags:
        return np.asarray((low[:, None] <= self._upper) & (high[:, None] >= self._lower))

    def _may_lie_outside(self, low: Floats, high: Floats) -> Flags:
        return np.asarray((low[:, None] < self._lower) | (high[:, None] > self._upper))
