"""How many samples came too late to be judged, by rule: what partitions have counted since somebody was told."""

from collections import Counter
from collections.abc import Hashable, Mapping


class LateCounts:
    """Partitions count for as long as they are there, over restarts too: what one had counted when it was first looked
    at is old."""

    def __init__(self) -> None:
        self._before: dict[Hashable, dict[str, int]] = {}
        self._untold: Counter[str] = Counter()

    def look(self, counts: Mapping[Hashable, dict[str, int]]) -> None:
        """What partitions have counted by now, by rule; those that went away are forgotten."""
        for partition, now in counts.items():
            before = self._before.get(partition, now)
            # A rule that was changed counts from 0 again.
            self._untold.update({rule: max(number - before.get(rule, 0), 0) for rule, number in now.items()})
        self._before = dict(counts)

    def hand_over(self) -> dict[str, int]:
        """What there is to tell, by rule in order."""
        told, self._untold = +self._untold, Counter()
        return dict(sorted(told.items()))
