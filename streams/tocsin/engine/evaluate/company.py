"""What holds of the others of each member's group: order statistics of all members at once, each left out of its own.

Leaving it out matters in small groups, where a member would draw the median, and the scale, to itself.
"""

from dataclasses import dataclass

import numpy as np

from tocsin.engine.evaluate.points import segments
from tocsin.engine.frame import Floats, Ints


@dataclass(frozen=True, slots=True)
class Company:
    """Values of members of groups, ranked: `ordered` group by group, `begin` where each member's group begins there,
    `rank` its own place in it, and `peers` how many others there are. Entries are in the order of the members."""

    ordered: Floats
    begin: Ints
    rank: Ints
    peers: Ints

    @classmethod
    def of(cls, groups: Ints, values: Floats) -> "Company":
        """Of members with the group and the value of each. In whatever order they come, what is told is the same."""
        order = np.lexsort((values, groups))
        begins = segments(groups[order])
        sizes = np.diff(begins)
        begin, peers, rank = (np.empty(len(groups), np.int64) for _ in range(3))
        begin[order] = np.repeat(begins[:-1], sizes)
        peers[order] = np.repeat(sizes - 1, sizes)
        rank[order] = np.arange(len(groups)) - begin[order]
        return cls(values[order], begin, rank, peers)

    def at(self, place: Ints) -> Floats:
        """Of each member the value of the peer in a place, counted from the lowest, 0."""
        return np.asarray(self.ordered[self.begin + place + (place >= self.rank)])

    def median(self) -> Floats:
        """Of each member the median of its peers."""
        return (self.at((self.peers - 1) // 2) + self.at(self.peers // 2)) / 2


def sizes_of(groups: Ints) -> Ints:
    """How many members the group of each member has."""
    _, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(counts[place])
