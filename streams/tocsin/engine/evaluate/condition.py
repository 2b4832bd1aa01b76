"""What evaluate asks of a condition."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.frame import Floats
from tocsin.schemas.kinds import Level
from tocsin.schemas.rule import Rule

Flags = NDArray[np.bool_]


class Condition(ABC):
    """Levels of rules of one kind and one form, judged together: one column each.

    The vector questions may say True where the exact answer is False, never the other way round: they only choose whom
    to look at one by one.
    """

    @abstractmethod
    def __init__(self, levels: list[tuple[Rule, Level]]) -> None: ...

    @staticmethod
    def form(rule: Rule) -> str:
        """Rules of one kind whose form is equal can be judged together."""
        return rule.operator

    @abstractmethod
    def may_begin(self, low: Floats, high: Floats) -> Flags:
        """Slots x columns: whether some value between low and high could meet the condition."""

    @abstractmethod
    def may_fail(self, low: Floats, high: Floats) -> Flags:
        """Slots x columns: whether some value between low and high could fail to meet it."""

    @abstractmethod
    def may_end(self, low: Floats, high: Floats) -> Flags:
        """Slots x columns: whether some value between low and high could end a firing alert."""

    @abstractmethod
    def begins(self, column: int, value: float) -> bool:
        """Whether this value meets the condition of one column."""

    @abstractmethod
    def ends(self, column: int, value: float) -> bool:
        """Whether this value ends a firing alert of one column."""
