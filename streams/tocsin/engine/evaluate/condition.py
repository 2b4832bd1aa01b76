"""What evaluate asks of a condition."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.frame import Floats
from tocsin.schemas.rule import Rule

Flags = NDArray[np.bool_]


class Condition(ABC):
    """Rules of one kind and one operator, judged together: `rules` columns, one each.

    The vector questions may say True where the exact answer is False, never the other way round: they only choose whom
    to look at one by one.
    """

    @abstractmethod
    def __init__(self, rules: list[Rule]) -> None: ...

    @abstractmethod
    def may_begin(self, low: Floats, high: Floats) -> Flags:
        """Slots x rules: whether some value between low and high could meet the condition."""

    @abstractmethod
    def may_fail(self, low: Floats, high: Floats) -> Flags:
        """Slots x rules: whether some value between low and high could fail to meet it."""

    @abstractmethod
    def may_end(self, low: Floats, high: Floats) -> Flags:
        """Slots x rules: whether some value between low and high could end a firing alert."""

    @abstractmethod
    def begins(self, column: int, value: float) -> bool:
        """Whether this value meets the condition of one rule."""

    @abstractmethod
    def ends(self, column: int, value: float) -> bool:
        """Whether this value ends a firing alert of one rule."""
