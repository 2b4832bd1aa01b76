"""How many different things were seen: exact while they are few, then estimated from the smallest hashes.

Seeing one again changes nothing, so what is counted again after a crash is counted once; and two counts can be put
together.
"""

import heapq
from collections.abc import Iterable
from typing import Final

KEPT: Final = 1_024  # exact up to here, beyond within 6 % in 19 of 20 cases
_HASHES: Final = 2**64


class Distinct:
    """The smallest hashes (64 bits, evenly spread) of what was seen."""

    def __init__(self, hashes: Iterable[int] = ()) -> None:
        self._known: set[int] = set()
        self._largest: list[int] = []  # negated, as a heap
        self.add(*hashes)

    def add(self, *hashes: int) -> None:
        """See some."""
        for one in hashes:
            if one in self._known:
                continue
            if len(self._largest) < KEPT:
                heapq.heappush(self._largest, -one)
            elif one < -self._largest[0]:
                self._known.discard(-heapq.heapreplace(self._largest, -one))
            else:
                continue
            self._known.add(one)

    def count(self) -> int:
        """How many there were."""
        if len(self._known) < KEPT:
            return len(self._known)
        return round((KEPT - 1) * _HASHES / (1 - self._largest[0]))

    def hashes(self) -> list[int]:
        """What is kept, to make the same again."""
        return sorted(self._known)
