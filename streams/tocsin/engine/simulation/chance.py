"""Chance that a seed repeats exactly, on every machine and every Python: `random()` alone promises that."""

from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

_Item = TypeVar("_Item")


class Chance:
    """A stream of numbers drawn from a seed."""

    __slots__ = ("_draw",)

    def __init__(self, seed: int) -> None:
        self._draw: Final = Random(seed).random

    def below(self, bound: int) -> int:
        """0 to bound - 1."""
        return int(self._draw() * bound)

    def between(self, low: int, high: int) -> int:
        """low to high, both included."""
        return low + int(self._draw() * (high - low + 1))

    def happens(self, percent: int) -> bool:
        """True so often in a hundred times."""
        return self._draw() * 100 < percent

    def one_of(self, items: Sequence[_Item]) -> _Item:
        """One of them."""
        return items[int(self._draw() * len(items))]

    def part_of(self, items: Sequence[_Item]) -> list[_Item]:
        """Some of them, at least one, in their order: each part as often as any other."""
        chosen = 1 + self.below(2 ** len(items) - 1)
        return [item for index, item in enumerate(items) if chosen >> index & 1]

    def shuffled(self, items: Sequence[_Item]) -> list[_Item]:
        """All of them in some order."""
        found = list(items)
        for index in range(len(found) - 1, 0, -1):
            other = self.below(index + 1)
            found[index], found[other] = found[other], found[index]
        return found
