"""What a series does by time of day and by hour of week, and where it stands apart from that.

An anchor that follows within a week; a profile, over the half hours of the day or the hours of the week, of what the
anchor leaves over; and a drift from both that follows within a day: additive Holt-Winters (Winters 1960) with bins in
place of lags, so that gaps and any cadence do. Within a bin the profile is a line, flat at an edge (the limiter of van
Leer 1977), since schedules have edges. Which period a series has is found from how well each would have foretold
it; forecasts are mixed by that (Bates and Granger 1969). How far values stray is kept by half hour too,
and grows with what is expected in series where it does.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.detector import Array, Moment, put, taken
from tocsin.engine.frame import Floats, Ints

DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S
_ANCHOR_S: Final = 7 * DAY_S
_ERROR_S: Final = 5 * DAY_S
_SETTLED: Final = 60  # samples after which errors are trusted to clip others
_TINY: Final = np.float32(1e-12)
_HALF_KNOWN: Final = np.array([[0.5], [1]], np.float32)  # days of samples from which the day, and the week, may count
_PRIOR_VISITS: Final = np.float32(1.5)
_CLEARLY: Final = np.float32(2)  # mean sizes of errors by which forecasts differ for good
WIDE: Final = 4.0  # the band of ordinary values, in mean sizes of the rest: about three standard deviations
_ROWS: Final = 31

SPEC: Final[Spec] = {
    "anchor": ("f8", 0, 0.0),
    "live": ("f4", _ROWS, 0.0),
    "day": ("f4", 48, 0.0),
    "day_seen": ("u1", 48, 0),
    "day_spread": ("f4", 48, 0.0),
    "week": ("f4", 168, 0.0),
    "week_seen": ("u1", 168, 0),
}
# Rows of `live`, the first three for no season, the day and the week: how far values have drifted from what they
# foretell, the mean size of their errors, and the samples in that.
_DRIFT, _ERRORS, _COUNTS = slice(0, 3), slice(3, 6), slice(6, 9)
_SIZES, _RELATIVE, _STAGE, _CLEAN = 9, 10, 11, 12
# On the mean: size of what is expected, size of strays, that over the height of what is expected, and its logarithm.
_TOTAL, _READY = 29, 30  # of the day's spreads, the sum, and how many are known
_GROUND, _HEIGHT, _PLAIN, _SHARED, _LOGARITHM = slice(25, 29), 25, 26, 27, 28


@dataclass(frozen=True, slots=True)
class Habits:
    """What is known of series beforehand: their periods, and within which time their level follows, in seconds."""

    periods: Literal["auto", "none", "day", "week"] = "auto"
    level_s: float = 1 * DAY_S


@dataclass(frozen=True, slots=True)
class Cycle:
    """One profile: its columns, period in seconds, bins, slowest gain, and the visits after which it clips.

    In `live`, from row `row` on: the open bin (counted from 1), sum and count of its samples, and what the profile says
    of it: value in the middle (NaN if unknown), slope and visits; nothing of that changes while the bin is open.
    """

    name: str
    period_s: int
    bins: int
    gain: float
    trusted: int
    row: int


DAY: Final = Cycle("day", DAY_S, 48, 0.1, 3, 13)
WEEK: Final = Cycle("week", WEEK_S, 168, 0.3, 2, 19)
AUTO: Final = Habits()


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the season says of samples: `expected`, and the `rest` apart from that.

    `usual` is the mean size of the rest, `relative` that here and now over it; `height` is what is expected over its
    mean, and `leaning` from 0 to 1 how far strays grow with it. `clean` counts the samples since a season was found;
    `anew` marks the series of which one was found just now.
    `away` is the distance from the anchor, `rests` those from what no season, the day and the week foretell, where that
    is `known`.
    """

    expected: Floats
    rest: Array
    usual: Array
    relative: Array
    height: Array
    leaning: Array
    clean: Array
    anew: Array
    live: Array
    away: Array
    rests: Array
    known: Array

    @property
    def days_known(self) -> Array:
        """How many samples could be held against what the day foretells, this one included where it can."""
        return np.asarray(self.live[_COUNTS][1] + self.known[1])

    @property
    def visits(self) -> Array:
        """How many days have taught what is known of the half hour."""
        return np.asarray(self.live[DAY.row + 5])

    def band(self, unit: Floats) -> tuple[Floats, Floats, Floats]:
        """The expected value and the ends of the band of ordinary ones, in the unit of the series."""
        half = WIDE * self.usual * self.relative
        with np.errstate(over="ignore"):
            ends = (self.expected, self.expected - half, self.expected + half)
            expected, lower, upper = ((at * unit).clip(-1.7e308, 1.7e308) for at in ends)
        return expected, lower, upper


def foresee(columns: Columns, moment: Moment, local_s: Floats, habits: Habits = AUTO) -> Outlook:
    """What was to be expected of samples. `local_s` is the time on the wall where the series lives."""
    slots = moment.slots
    live = taken(columns, "live", slots, (_ROWS,))
    anchor = np.where(moment.age == 1, moment.x, columns["anchor"][slots])
    columns["anchor"][slots] = anchor
    by_day, day_known = _read(columns, DAY, slots, live, local_s)
    by_week, week_known = _read(columns, WEEK, slots, live, local_s)
    away = (moment.x - anchor).astype(np.float32)
    rests = away - live[_DRIFT]
    rests[1] -= by_day
    rests[2] -= by_week
    known = np.array((day_known, day_known, day_known & week_known))
    early = live[_COUNTS][1] == 0  # no day is known yet: nothing to compare with, and what is counted begins anew then
    live[_COUNTS][0] *= ~(early & day_known)
    known[0] |= early
    weights = _weights(live, moment, habits)
    usual = _mixed(weights, live[_ERRORS]) + _TINY
    rest = _kinder(_mixed(weights, rests), rests[2], usual, _undecided(live, moment, known[2], habits))
    anew = _stages(live, moment, weights)
    expected = moment.x - rest
    height = np.abs(expected).astype(np.float32)
    height = (height / (np.where(moment.age == 1, height, live[_HEIGHT]) + _TINY)).clip(0.1, 10)
    leaning = _leaning(live)
    relative = np.where(live[_RELATIVE] > 0, live[_RELATIVE], np.float32(1)) * _growth(live, leaning, height)
    return Outlook(expected, rest, usual, relative, height, leaning, live[_CLEAN], anew, live, away, rests, known)


def learn(
    columns: Columns, moment: Moment, outlook: Outlook, share: Array, moved: Array, habits: Habits = AUTO
) -> None:
    """Learn samples, each by a share from 0 to 1; `moved` is by how much a series has moved for good, mostly 0."""
    live, rests = outlook.live, outlook.rests
    _rate(live, moment, outlook, share)
    limit = 4 * outlook.usual
    most = np.where(moment.age > 40, limit, np.float32(np.inf))
    np.minimum(np.maximum(rests, -most, out=rests), most, out=rests)
    rests *= moment.gain(habits.level_s).astype(np.float32) * share
    live[_DRIFT] += rests
    ordinary = share > 0
    for cycle in (DAY, WEEK):
        learnt = ordinary | (live[cycle.row + 5] < cycle.trusted)
        live[cycle.row + 1] += np.where(learnt, outlook.away, 0)
        live[cycle.row + 2] += learnt
    size = np.abs(outlook.rest)
    live[_SIZES] += np.where(ordinary, size / _growth(live, outlook.leaning, outlook.height), 0)
    size = np.minimum(size, limit * outlook.relative)
    log = np.log(outlook.height)
    ground = np.array((np.abs(outlook.expected).astype(np.float32), size, size / outlook.height, log))
    gain = moment.gain(_ANCHOR_S)
    live[_GROUND] += (gain.astype(np.float32) * share) * (ground - live[_GROUND])
    step = np.minimum(np.maximum(outlook.rest, -limit), limit) * (gain * share)
    at = np.flatnonzero(moved)
    if len(at):
        young = live[_COUNTS][2, at] * moment.cadence_s[at] < WEEK_S
        live[_DRIFT, at] += np.where(young, moved[at], 0)
        step[at] += np.where(young, 0, moved[at])
    columns["anchor"][moment.slots] += step
    put(columns, "live", moment.slots, live)


def phase_s(at_s: Floats, period_s: int) -> Floats:
    """How far into their period times are: `at_s % period_s` to the last bit, for a quarter of what that costs."""
    into_s = at_s - np.floor(at_s / period_s) * period_s
    return np.asarray(np.where(into_s < 0, into_s + period_s, into_s))  # where the quotient was rounded up


def _read(columns: Columns, cycle: Cycle, slots: Ints, live: Array, local_s: Floats) -> tuple[Array, Array]:
    """What the profile says of samples, and where it knows anything. Bins that are over are learnt before."""
    phase = phase_s(local_s, cycle.period_s) * (cycle.bins / cycle.period_s)
    at = np.minimum(np.floor(phase), cycle.bins - 1)
    moved = np.flatnonzero(live[cycle.row] != at + 1)
    if len(moved) == len(slots):
        _turn(columns, cycle, slots, live, at)
    elif len(moved):
        part = live[:, moved]
        _turn(columns, cycle, slots[moved], part, at[moved])
        live[:, moved] = part
    middle, slope = live[cycle.row + 3], live[cycle.row + 4]
    known = ~np.isnan(middle)
    return np.where(known, middle + slope * (phase - at - 0.5).astype(np.float32), 0), known


def _turn(columns: Columns, cycle: Cycle, slots: Ints, live: Array, at: Floats) -> None:
    """Learn the bins that were open, and open those that samples lie in."""
    had = np.flatnonzero(live[cycle.row + 2] > 0)
    if len(had) == len(slots):
        _close(columns, cycle, slots, live)
    elif len(had):
        closed = live[:, had]
        _close(columns, cycle, slots[had], closed)
        live[:, had] = closed
    here = at.astype(np.int64)
    live[cycle.row] = at + 1
    live[cycle.row + 1 : cycle.row + 3] = 0.0
    live[cycle.row + 3 : cycle.row + 6] = _line(columns, cycle, slots, here)
    if cycle is DAY:
        live[_SIZES] = 0.0
        live[_RELATIVE] = _relative(live, columns["day_spread"][slots, here], live[cycle.row + 5])


def _line(columns: Columns, cycle: Cycle, slots: Ints, at: Ints) -> Array:
    """Value in the middle of a bin, NaN if it was never seen, and slope."""
    before, after = (at - 1) % cycle.bins, (at + 1) % cycle.bins
    profile, seen = columns[cycle.name], columns[f"{cycle.name}_seen"]
    here = profile[slots, at]
    left = np.where(seen[slots, before] > 0, here - profile[slots, before], 0)
    right = np.where(seen[slots, after] > 0, profile[slots, after] - here, 0)
    steepest = 2 * np.minimum(np.abs(left), np.abs(right)) * ((left > 0) == (right > 0))
    slope = np.clip((left + right) / 2, -steepest, steepest)
    visits = seen[slots, at]
    return np.array((np.where(visits > 0, here, np.nan), slope, visits))


def _close(columns: Columns, cycle: Cycle, slots: Ints, live: Array) -> None:
    """The mean of a bin that is over goes into the profile, clipped once the profile is trusted."""
    profile, seen = columns[cycle.name], columns[f"{cycle.name}_seen"]
    at, count, limit = live[cycle.row].astype(np.int64) - 1, live[cycle.row + 2], 5 * _best(live)
    visits = seen[slots, at].astype(np.int64)
    change = live[cycle.row + 1] / count - profile[slots, at]
    change = np.where(visits >= cycle.trusted, np.clip(change, -limit, limit), change)
    profile[slots, at] += np.maximum(cycle.gain, 1 / (visits + 1)) * change
    seen[slots, at] = np.minimum(visits + 1, 250)
    if cycle is DAY:
        spread = columns["day_spread"]
        size = np.minimum(live[_SIZES] / count, limit)
        was = spread[slots, at]
        gain = np.where(visits >= 1, np.maximum(0.1, 1 / np.maximum(visits, 1)), 0.0)
        change = (gain * (size - was)).astype(np.float32)
        spread[slots, at] = was + change
        live[_TOTAL] += change
        live[_READY] += visits == 1


def _relative(live: Array, here: Array, visits: Array) -> Array:
    """How far values stray in this half hour, over the mean of all; 1 until all were seen twice.

    Drawn towards 1 as long as visits are few (a Bayesian mean): what one visit tells of it errs about as much as half
    hours differ. The first visit tells nothing, as nothing was expected then.
    """
    mean = live[_TOTAL] / DAY.bins
    relative = (here + np.float32(0.1) * mean + _TINY) / (np.float32(1.1) * mean + _TINY)
    told = np.maximum(visits - 1, 0)
    drawn = 1 + told / (told + _PRIOR_VISITS) * (np.clip(relative, 0.25, 4) - 1)
    return np.where(live[_READY] >= DAY.bins, drawn, np.float32(1))


def _rate(live: Array, moment: Moment, outlook: Outlook, share: Array) -> None:
    """How large the errors of each forecast are on the mean; the first two are compared where the day is known.

    What is strange counts where forecasts differ, since it may be a season not known yet; else all are equally wrong.
    """
    errors, known = live[_ERRORS], live[_COUNTS]
    apart = outlook.rests.max(axis=0) - outlook.rests.min(axis=0)
    counts = outlook.known * np.where(apart > _CLEARLY * outlook.usual, np.float32(1), share)
    known += counts
    size = np.abs(outlook.rests)
    size = np.where(known > _SETTLED, np.minimum(size, 6 * errors + _TINY), size)
    gain = np.maximum(np.minimum(moment.step_s / _ERROR_S, 1.0).astype(np.float32), 1 / np.maximum(known, 1))
    errors += counts * gain * (size - errors)


def _weights(live: Array, moment: Moment, habits: Habits) -> Array:
    """Shares of the three forecasts: near 1 for the one that would have foretold clearly better than the others."""
    errors, days = live[_ERRORS], live[_COUNTS][1:] * (moment.cadence_s / DAY_S).astype(np.float32)
    both = (days - _HALF_KNOWN).clip(0, 1)
    if habits.periods in ("auto", "none"):
        both *= _better(errors[1:], 0.9 * np.array((errors[0], np.minimum(errors[0], errors[1]))))
    day, week = both
    day *= habits.periods != "none"
    week *= habits.periods in ("auto", "week")
    other = 1 - week
    return np.array((other * (1 - day), other * day, week))


def _undecided(live: Array, moment: Moment, week_known: Array, habits: Habits) -> Array:
    """Where a week is known, but not a whole one could be held against it."""
    return np.asarray(week_known & (live[_COUNTS][2] * moment.cadence_s < WEEK_S) & (habits.periods == "auto"))


def _kinder(rest: Array, by_week: Array, usual: Array, undecided: Array) -> Array:
    """While nothing can be known of the week, what was so a week ago is not strange: where forecasts clearly differ,
    the nearer one counts."""
    nearer = undecided & (np.abs(by_week) < np.abs(rest)) & (np.abs(by_week - rest) > _CLEARLY * usual)
    return np.where(nearer, by_week, rest)


def _better(error: Array, other: Array) -> Array:
    ratio = np.minimum(error / (other + _TINY), 10)
    square = ratio * ratio
    fourth = square * square
    eighth = fourth * fourth
    return np.asarray(1 / (1 + eighth * eighth))


def _leaning(live: Array) -> Array:
    """1 where strays in proportion to what is expected make what was seen more likely (of a Laplace distribution) than
    strays of one size, else 0."""
    better = np.log((live[_PLAIN] + _TINY) / (live[_SHARED] + _TINY)) - live[_LOGARITHM]
    return np.asarray((50 * better - 0.5).clip(0, 1))


def _growth(live: Array, leaning: Array, height: Array) -> Array:
    """How much further values stray where more is expected, once the day is known."""
    return np.asarray(1 + leaning * (live[_COUNTS][1] > 0) * (height - 1))


def _mixed(weights: Array, of_three: Array) -> Array:
    return np.asarray((weights[0] * of_three[0] + weights[1] * of_three[1]) + weights[2] * of_three[2])


def _best(live: Array) -> Array:
    errors = live[_ERRORS]
    rated = np.where(live[_COUNTS] > _SETTLED, errors, np.inf)
    return np.asarray(np.minimum(np.minimum(errors[0], rated[1]), rated[2]) + _TINY)


def _stages(live: Array, moment: Moment, weights: Array) -> Array:
    """Count samples since the season was found. What is learnt of the rest begins anew then: it was full of season."""
    days = live[_COUNTS][1] * moment.cadence_s / DAY_S
    stage = live[_STAGE]
    found = np.maximum(weights[1], weights[2]) > 0.5
    anew = ((stage == 0) & found & (days > 1.5)) | ((stage == 1) & (weights[2] > 0.5))
    live[_CLEAN] = np.where(anew, 1, live[_CLEAN] + 1)
    live[_STAGE] = stage + anew
    return np.asarray(anew)
