"""A value against a fixed threshold, with hysteresis: a firing alert ends only beyond `recovery_threshold`."""

import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tocsin.engine.evaluate.condition import Condition, Flags
from tocsin.engine.frame import Floats
from tocsin.schemas.kinds import Level
from tocsin.schemas.rule import Rule

_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}


class Threshold(Condition):
    """Levels of rules with one operator."""

    def __init__(self, levels: list[tuple[Rule, Level]]) -> None:
        assert len({rule.operator for rule, _ in levels}) == 1
        self._operator = levels[0][0].operator
        self._compare = _COMPARE[self._operator]
        self._limits = np.array([level.threshold for _, level in levels], np.float64)
        self._recovery = np.array(
            [level.threshold if level.recovery_threshold is None else level.recovery_threshold for _, level in levels],
            np.float64,
        )

    def may_begin(self, low: Floats, high: Floats) -> Flags:
        """For `>` the highest value decides, for `<` the lowest; `==` may hold for whatever lies between."""
        return self._some(low, high, self._limits)

    def may_fail(self, low: Floats, high: Floats) -> Flags:
        """The opposite end decides."""
        return self._not_all(low, high, self._limits)

    def may_end(self, low: Floats, high: Floats) -> Flags:
        """As `may_fail`, against the recovery threshold."""
        return self._not_all(low, high, self._recovery)

    def begins(self, column: int, value: float) -> bool:
        """The comparison itself."""
        return bool(self._compare(value, self._limits[column]))

    def ends(self, column: int, value: float) -> bool:
        """Not holding against the recovery threshold."""
        return not self._compare(value, self._recovery[column])

    def _some(self, low: Floats, high: Floats, limits: Floats) -> Flags:
        below, above = low[:, None], high[:, None]
        if self._operator == "eq":
            return np.asarray((below <= limits) & (limits <= above))
        if self._operator == "neq":
            return np.asarray((below != limits) | (above != limits))
        return np.asarray(self._compare(above if self._operator in ("gt", "gte") else below, limits))

    def _not_all(self, low: Floats, high: Floats, limits: Floats) -> Flags:
        below, above = low[:, None], high[:, None]
        if self._operator == "eq":
            return np.asarray((below != limits) | (above != limits))
        if self._operator == "neq":
            return np.asarray((below <= limits) & (limits <= above))
        return ~np.asarray(self._compare(below if self._operator in ("gt", "gte") else above, limits))
