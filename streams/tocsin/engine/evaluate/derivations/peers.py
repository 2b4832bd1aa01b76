"""How far a member of a group is from its peers, in scales: hosts of one cluster, partitions of one topic.

A member is held to the median of the others, and to the median absolute deviation of the others from where they ought
to be, scaled to a standard deviation (Hampel 1974; Iglewicz and Hoaglin 1993) and corrected for few (Croux and
Rousseeuw 1992). Half of a group may be wrong before the median is.

Where it ought to be, a member that was always apart has a place of its own: a distance from the median, or a multiple
of it, whichever foretold it better, both learnt slowly from values that were not strange. Each member less its own
place then tells where the group is, as in a median polish (Tukey 1977): so groups of unlike members are judged as
finely as groups of equals.

What was strange for long is a member's place from then on; for two weeks it may come back to its peers unnoticed.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.company import Company, sizes_of
from tocsin.engine.evaluate.condition import Flags
from tocsin.engine.evaluate.derivation import Derivation
from tocsin.engine.evaluate.detector import Finding, Moment
from tocsin.engine.evaluate.detectors import tails
from tocsin.engine.evaluate.detectors.tails import Tails
from tocsin.engine.evaluate.learner import Turn
from tocsin.engine.evaluate.points import Points
from tocsin.engine.evaluate.trail import Trail
from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.learning import WELL_WITHIN, Anomaly

_OF_MEDIAN: Final = 1.4826  # standard deviations in a median absolute deviation, where values are normally distributed
_OF_MEAN: Final = 1.2533  # and in a mean one
_FEW: Final = 0.8
_LEAST: Final = 1e-3  # a scale of peers that are all alike, in parts of their median: nobody acts on less
_QUIETER: Final = 0.5  # a member counts as no quieter than this part of what its peers usually are
_LEARNT: Final = 3.0  # scales: what is farther off is learnt as if it were there (Huber 1964)
_KNOWN: Final = 30  # windows from which a member's multiple of the median may be believed
_BETTER: Final = 0.95  # how much better than its distance it must foretell
_LEAST_MULTIPLE: Final = 0.1
_MOST_MULTIPLE: Final = 1e100  # of a median that is next to nothing: no multiple of it is learnt, nor what lies beyond
_DAY_MS: Final = 86_400_000
_REMEMBERED_MS: Final = 14 * _DAY_MS
_WARM: Final = 120  # windows after which it is told how rare a distance is
_MOST_DAYS: Final = 1e9
_LARGEST: Final = 1e300
_TOP: Final = 100.0
_MOST_SCALES: Final = 1e9
_TRIMMED: Final = 5  # of the peers that are told of, a fifth at either end is left out
_UNSEEN: Final = -(2**60)

_OWN: Final[Spec] = {
    "age": ("i8", 0, 0),  # windows
    "first_ms": ("i8", 0, _UNSEEN),
    "distance": ("f8", 0, 0.0),
    "multiple": ("f8", 0, 1.0),
    "distance_error": ("f8", 0, 0.0),  # mean sizes of what the two left over
    "multiple_error": ("f8", 0, 0.0),
    "error": ("f8", 0, 0.0),  # and of how far the member was from its place
    "moved_ms": ("i8", 0, _UNSEEN),
    "strange": ("i8", 0, 0),  # windows in a row that were
    "strange_ms": ("i8", 0, 0),
    "strange_distance": ("f8", 0, 0.0),
    "strange_multiple": ("f8", 0, 0.0),
}


@dataclass(frozen=True, slots=True)
class _Look:
    """One window of members, one entry each."""

    slots: Ints
    values: Floats
    peers: Ints
    median: Floats
    lowest: Floats  # of most of the peers
    highest: Floats
    place: Floats  # where the member itself ought to be
    low: Floats  # between these it may be
    high: Floats
    scale: Floats
    scales: Floats  # how far beyond these it is, signed


class Outlying(Derivation):
    """The distance of each member in scales, 0 where it is on the side that nobody asked about, or near enough."""

    def __init__(self, settings: Anomaly, hop_ms: int, upwards: bool) -> None:
        self.settings = settings
        self._hop_ms = max(hop_ms, 1)
        self._rare_days = settings.rare_ms / _DAY_MS
        self.columns = Columns({**_OWN, **tails.spec(1)})

    def inherit(self, other: Derivation) -> None:
        """See Derivation. What was strange by other settings is not by these."""
        super().inherit(other)
        self.columns["strange"][:] = 0

    def derive(self, points: Points) -> Points:
        """See Derivation. `points` has one value of each member, and their `groups`."""
        points = self.known(points, self.settings.learn_from)
        assert points.groups is not None
        points = points.take(np.flatnonzero(sizes_of(points.groups) >= self.settings.min_members))
        if not len(points):
            return points
        look = self._look(points)
        first_ms = self.columns["first_ms"][look.slots]
        self.columns["first_ms"][look.slots] = np.where(first_ms == _UNSEEN, points.at_ms, first_ms)
        is_warm = points.at_ms - self.columns["first_ms"][look.slots] >= self.settings.warm_up
        turn, size = self._turn(points, look), np.abs(look.scales)
        days = self._rarity(turn, look)
        is_rare = (turn.age < _WARM) | (days >= self._rare_days) | (self.columns["strange"][look.slots] > 0)
        self._learn(points.at_ms, look, is_rare)
        trail = Trail(len(points))
        trail.note(turn, size, {
            "peers": look.peers.astype(np.float64), "median": look.median, "lowest": look.lowest,
            "highest": look.highest, "scale": look.scale, "once_in_days": days,
        })  # fmt: skip
        judged = np.where(is_rare, size, np.minimum(size, WELL_WITHIN * self.settings.width))  # begins nothing
        return trail.derived(points, np.where(is_warm & turn.wrong(self.settings), judged, 0.0))

    def _look(self, points: Points) -> _Look:
        slots, groups = points.slots, points.groups
        assert groups is not None
        values = np.clip(points.values, -_LARGEST, _LARGEST) + 0.0  # of two zeros of either sign none is the lower
        peers = Company.of(groups, values)
        median = peers.median()
        place, count = self._place(slots, groups, values, median), peers.peers
        scale = self._scale(slots, groups, np.abs(values - place), median)
        may_return = points.at_ms - self.columns["moved_ms"][slots] < _REMEMBERED_MS
        other = np.where(may_return, median, place)
        low, high = np.minimum(other, place), np.maximum(other, place)
        beyond = values - np.clip(values, low, high)
        with np.errstate(over="ignore"):
            scales = np.clip(beyond / scale, -_MOST_SCALES, _MOST_SCALES)
        cut = count // _TRIMMED
        told = count, median, peers.at(cut), peers.at(count - 1 - cut)
        return _Look(slots, values, *told, place, low, high, scale, scales)

    def _scale(self, slots: Ints, groups: Ints, rest: Floats, median: Floats) -> Floats:
        """A standard deviation of each member from its place: once it is known, what is usual for the member itself,
        and more where its peers are farther from their places than usual; before, and where members have no place of
        their own, that of its peers now."""
        deviation, age = _OF_MEAN * self.columns["error"][slots], self.columns["age"][slots]
        least = np.maximum(_LEAST * np.abs(median), np.finfo(float).tiny)
        is_known = (age >= _KNOWN) & self.settings.own_offset
        scale = least
        if not is_known.all():
            scale = np.maximum(least, _spread(groups, np.maximum(rest, deviation / _OF_MEDIAN)))
            scale = np.maximum(scale, deviation) if self.settings.own_offset else scale
        if is_known.any():
            usual = np.maximum(deviation, _QUIETER * Company.of(groups, deviation).median())
            usual = np.maximum(usual, least)
            with np.errstate(over="ignore"):
                turmoil = np.clip(_spread(groups, np.minimum(rest / usual, _LARGEST)), 1.0, _LARGEST / usual)
            scale = np.where(is_known, usual * turmoil, scale)
        return np.asarray(scale)

    def _place(self, slots: Ints, groups: Ints, values: Floats, median: Floats) -> Floats:
        """Where each member ought to be."""
        columns = self.columns
        if not self.settings.own_offset:
            return median
        distance, multiple = columns["distance"][slots], columns["multiple"][slots]
        errors = columns["distance_error"][slots], columns["multiple_error"][slots]
        by_multiple = (errors[1] < _BETTER * errors[0]) & (multiple > _LEAST_MULTIPLE)
        by_multiple &= columns["age"][slots] >= _KNOWN
        multiple, distance = np.where(by_multiple, multiple, 1.0), np.where(by_multiple, 0.0, distance)
        with np.errstate(over="ignore"):
            levelled = np.clip(values / multiple - distance, -_LARGEST, _LARGEST)
            place = Company.of(groups, levelled).median() * multiple + distance
        return np.asarray(np.clip(place, -_LARGEST, _LARGEST))

    def _turn(self, points: Points, look: _Look) -> Turn:
        margin = self.settings.width * look.scale
        with np.errstate(over="ignore"):
            lower, upper = look.low - margin, look.high + margin
        finding = Finding(np.abs(look.scales), look.place, lower, upper)
        age = self.columns["age"][look.slots]
        nowhere = np.zeros(len(points), bool)
        return Turn(np.arange(len(points)), look.slots, points.at_ms / 1_000.0, points.values, age, finding, nowhere)

    def _rarity(self, turn: Turn, look: _Look) -> Floats:
        """Once in how many days a member of this kind is so far from where it ought to be."""
        hop_s = np.full(len(look.slots), self._hop_ms / 1_000.0)
        moment = Moment(look.slots, turn.at_s, look.values, np.ones(len(hop_s)), turn.age + 1, hop_s, hop_s)
        with np.errstate(over="ignore"):
            scales = np.clip((look.values - look.place) / look.scale, -_TOP, _TOP).astype(np.float32)
        tail = Tails(self.columns, moment, scales[None], np.zeros(len(hop_s), bool))
        tail.learn((np.abs(look.scales) < self.settings.width).astype(np.float32), turn.age + 1)
        days = np.where(turn.age >= _WARM, (tail.days[0] + tail.days[1]).astype(np.float64), 0.0)
        return np.minimum(days, _MOST_DAYS)

    def _learn(self, at_ms: Ints, look: _Look, is_rare: Flags) -> None:
        columns, slots = self.columns, look.slots
        before, age = columns["strange"][slots], columns["age"][slots]
        size, width = np.abs(look.scales), self.settings.width
        is_strange = (size >= np.where(before > 0, WELL_WITHIN * width, width)) & is_rare
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            multiple = look.values / look.median
        has_multiple = np.abs(multiple) <= _MOST_MULTIPLE
        gain = np.minimum(np.maximum(self._hop_ms / self.settings.memory, 1 / (age + 1)), 1.0) * ~is_strange
        self._follow("distance", look, look.values - look.median, np.ones(len(slots)), gain)
        unit = np.where(has_multiple, look.median, 1.0)
        self._follow("multiple", look, np.where(has_multiple, multiple, 1.0), unit, gain * has_multiple)
        self._grow("error", look, look.values - look.place, gain)
        self._suffer(at_ms, look, is_strange, np.where(has_multiple, multiple, 1.0))
        columns["age"][slots] = age + 1
        columns.touch(slots)

    def _follow(self, name: str, look: _Look, seen: Floats, unit: Floats, gain: Floats) -> None:
        """Draw what is learnt, and how well it foretold, towards what was seen: `unit` is what 1 of it is in values."""
        columns, slots = self.columns, look.slots
        known, most = columns[name][slots], _LEARNT * look.scale
        with np.errstate(over="ignore"):
            rest = (seen - known) * unit
        columns[name][slots] = known + gain * np.clip(rest, -most, most) / unit
        self._grow(f"{name}_error", look, rest, gain)

    def _grow(self, name: str, look: _Look, rest: Floats, gain: Floats) -> None:
        """Draw a mean size towards that of what was left over; of the first value nothing was foretold."""
        columns, slots = self.columns, look.slots
        error, size = columns[name][slots], np.minimum(np.abs(rest), _LEARNT * look.scale)
        columns[name][slots] = np.where(columns["age"][slots] == 0, 0.0, error + gain * (size - error))

    def _suffer(self, at_ms: Ints, look: _Look, is_strange: Flags, multiple: Floats) -> None:
        """What goes on for long enough is the place of a member from then on."""
        columns, slots = self.columns, look.slots
        windows = np.where(is_strange, columns["strange"][slots] + 1, 0)
        since_ms = np.where(windows == 1, at_ms, columns["strange_ms"][slots])
        share = 1 / np.maximum(windows, 1)
        for name, seen in (("distance", look.values - look.median), ("multiple", multiple)):
            mean = columns[f"strange_{name}"][slots]
            columns[f"strange_{name}"][slots] = np.where(windows > 1, mean + share * (seen - mean), seen)
        moves = is_strange & (at_ms - since_ms >= self.settings.relearn_after) & self.settings.own_offset
        moved = slots[moves]
        columns["moved_ms"][moved] = at_ms[moves]
        for name in ("distance", "multiple"):
            columns[name][moved] = columns[f"strange_{name}"][moved]
        columns["strange"][slots], columns["strange_ms"][slots] = np.where(moves, 0, windows), since_ms


def _spread(groups: Ints, sizes: Floats) -> Floats:
    """Of each member the standard deviation that the median of its peers' sizes stands for."""
    peers = Company.of(groups, sizes)
    return np.asarray(peers.median() * (_OF_MEDIAN * peers.peers / (peers.peers - _FEW)))
