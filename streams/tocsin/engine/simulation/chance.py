"""Chance that a seed repeats exactly, on every machine and every Python: SplitMix64 (Steele, Lea and Flood, 2014)."""

from collections.abc import Sequence
from typing import Final, TypeVar

_MASK: Final = 2**64 - 1
_GAMMA: Final = 0x9E3779B97F4A7C15
_Item = TypeVar("_Item")


class Chance:
    """A stream of numbers drawn from a seed."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = (seed * _GAMMA + 0xD1B54A32D192ED03) & _MASK

    def below(self, bound: int) -> int:
        """0 to bound - 1; so slightly uneven that nobody will ever notice."""
        self._state = state = (self._state + _GAMMA) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        return (state ^ (state >> 31)) % bound

    def between(self, low: int, high: int) -> int:
        """low to high, both included."""
        return low + self.below(high - low + 1)

    def happens(self, percent: int) -> bool:
        """True so often in a hundred times."""
        return self.below(100) < percent

    def one_of(self, items: Sequence[_Item]) -> _Item:
        """One of them."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[_Item]) -> list[_Item]:
        """All of them in some order."""
        found = list(items)
        for index in range(len(found) - 1, 0, -1):
            other = self.below(index + 1)
            found[index], found[other] = found[other], found[index]
        return found
