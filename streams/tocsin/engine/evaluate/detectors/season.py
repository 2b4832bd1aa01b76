"""What a series does by time of day and hour of week, and how much of it that explains.

A level that follows within two days, plus a profile of half hours of the day, plus one of the hours of the week that
holds what the day leaves over: additive Holt-Winters (Winters 1960) with bins in place of lags, so that gaps and any
cadence do. Within a bin the profile is a line, flat at an edge (the minmod limiter of van Leer 1979), since schedules
have edges. How far values stray is kept by half hour too. Which of the two periods a series has is found from how well
each would have foretold it.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.detector import Array, Moment, put, taken
from tocsin.engine.frame import Floats, Ints

DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S
_ERROR_S: Final = 5 * DAY_S
_SETTLED: Final = 60  # samples after which errors are trusted to clip others
_FIRST_S: Final = 12_000.0  # then the level stands still until the day is known: a level that moves hides it
_TINY: Final = 1e-12
WIDE: Final = 4.0  # the band of ordinary values, in mean sizes of the rest: about three standard deviations

SPEC: Final[Spec] = {
    "live": ("f8", 22, 0.0),
    "day": ("f4", 48, 0.0),
    "day_seen": ("u1", 48, 0),
    "day_spread": ("f4", 48, 0.0),
    "week": ("f4", 168, 0.0),
    "week_seen": ("u1", 168, 0),
}
# Rows of `live`. Errors: mean size of what no season, the day, and day and week leave over; counts: samples in them.
# Clean: samples since the season was found, or found to have a week too.
_LEVEL, _ERRORS, _COUNTS, _RELATIVE, _STAGE, _CLEAN, _SIZES = 0, slice(1, 4), slice(4, 7), 7, 8, 9, 10


@dataclass(frozen=True, slots=True)
class Habits:
    """What is known of series beforehand: their periods, and within which time their level follows, in seconds."""

    periods: Literal["auto", "none", "day", "week"] = "auto"
    level_s: float = 2 * DAY_S


@dataclass(frozen=True, slots=True)
class Cycle:
    """One profile: its columns, period in seconds, bins, slowest gain, and the visits after which it clips.

    In `live`, from row `row` on: the open bin (counted from 1), sum and count of its samples, and what the profile says
    of it: value in the middle and slope; nothing of that changes while the bin is open.
    """

    name: str
    period_s: int
    bins: int
    gain: float
    trusted: int
    row: int


DAY: Final = Cycle("day", DAY_S, 48, 0.15, 3, 11)
WEEK: Final = Cycle("week", WEEK_S, 168, 0.3, 2, 16)
AUTO: Final = Habits()


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the season says of samples: `expected`, the `rest` over its usual size at that time of day, that size
    relative to the mean one, what share of the strays it `explains` (0 to 1), how many samples were `clean` of season,
    which series begin
    `anew` since it was found just now, the `usual` size of strays, and for which a season was `found`."""

    expected: Floats
    rest: Floats
    relative: Floats
    explains: Floats
    clean: Floats
    anew: Array
    usual: Floats
    found: Array

    def band(self, unit: Floats) -> tuple[Floats, Floats, Floats]:
        """The expected value and the ends of the band of ordinary ones, in the unit of the series."""
        half = WIDE * self.usual * self.relative
        with np.errstate(over="ignore"):
            ends = (self.expected, self.expected - half, self.expected + half)
            expected, lower, upper = (np.clip(at * unit, -1.7e308, 1.7e308) for at in ends)
        return expected, lower, upper


def foresee(columns: Columns, moment: Moment, local_s: Floats, habits: Habits = AUTO) -> Outlook:
    """What was to be expected of samples, then learn them. `local_s` is the time on the wall where the series lives."""
    live = taken(columns, "live", moment.slots, (22,))
    by_day, day_known = _read(columns, DAY, moment.slots, live, local_s)
    by_week, week_known = _read(columns, WEEK, moment.slots, live, local_s)
    level = np.where(moment.age == 1, moment.x, live[_LEVEL])
    stray = moment.x - level
    day_known &= habits.periods != "none"
    week_known &= habits.periods in ("auto", "week")
    best = _best(live)
    _rate(live, moment, (stray, stray - by_day, stray - by_day - by_week), day_known, week_known)
    day_weight, week_weight = _weights(live, moment, habits)
    season = day_weight * by_day + week_weight * by_week
    rest = stray - season
    for cycle, values in ((DAY, stray), (WEEK, stray - by_day)):
        live[cycle.row + 1] += values
        live[cycle.row + 2] += 1
    live[_SIZES] += np.abs(rest)
    clipped = np.where(moment.age > 40, np.clip(rest, -4 * best, 4 * best), rest)
    young = (moment.age <= 40) | (moment.age * moment.cadence_s < _FIRST_S)
    follows = (live[_COUNTS][1] > 0) | young | (habits.periods == "none")
    live[_LEVEL] = level + np.where(follows, moment.gain(habits.level_s), 0.0) * clipped
    anew = _stages(live, moment, day_weight, week_weight)
    put(columns, "live", moment.slots, live)
    relative = np.where(live[_RELATIVE] > 0, live[_RELATIVE], 1.0)
    explains = np.clip(1 - best / (live[_ERRORS][0] + _TINY), 0, 1)
    return Outlook(level + season, rest / relative, relative, explains, live[_CLEAN], anew, best, live[_STAGE] > 0)


def _read(columns: Columns, cycle: Cycle, slots: Ints, live: Array, local_s: Floats) -> tuple[Floats, Array]:
    """What the profile says of samples, and where it knows anything. Bins that are over are learnt before."""
    phase = (local_s % cycle.period_s) * (cycle.bins / cycle.period_s)
    at = np.minimum(np.floor(phase), cycle.bins - 1)
    moved = np.flatnonzero(live[cycle.row] != at + 1)
    if len(moved):
        part = live[:, moved]
        had = np.flatnonzero(part[cycle.row + 2] > 0)
        if len(had):
            _close(columns, cycle, slots[moved[had]], part[:, had])
        part[cycle.row] = at[moved] + 1
        part[cycle.row + 1 : cycle.row + 3] = 0.0
        part[cycle.row + 3 : cycle.row + 5] = _line(columns, cycle, slots[moved], at[moved].astype(np.int64))
        if cycle is DAY:
            part[_SIZES] = 0.0
            part[_RELATIVE] = _relative(columns, slots[moved], at[moved].astype(np.int64))
        live[:, moved] = part
    middle, slope = live[cycle.row + 3], live[cycle.row + 4]
    known = ~np.isnan(middle)
    return np.where(known, middle + slope * (phase - at - 0.5), 0.0), known


def _line(columns: Columns, cycle: Cycle, slots: Ints, at: Ints) -> Array:
    """Value in the middle of a bin, NaN if it was never seen, and slope."""
    before, after = (at - 1) % cycle.bins, (at + 1) % cycle.bins
    profile, seen = columns[cycle.name], columns[f"{cycle.name}_seen"]
    here = profile[slots, at].astype(np.float64)
    left = np.where(seen[slots, before] > 0, here - profile[slots, before], 0.0)
    right = np.where(seen[slots, after] > 0, profile[slots, after] - here, 0.0)
    flatter = np.where(np.abs(left) < np.abs(right), left, right)
    return np.stack((np.where(seen[slots, at] > 0, here, np.nan), np.where((left > 0) == (right > 0), flatter, 0.0)))


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
        gain = np.where(visits >= 1, np.maximum(0.1, 1 / np.maximum(visits, 1)), 0.0)
        spread[slots, at] += gain * (size - spread[slots, at])


def _relative(columns: Columns, slots: Ints, at: Ints) -> Floats:
    """How far values stray in this half hour, over the mean of all; 1 until all were seen three times."""
    complete = columns["day_seen"][slots].min(axis=1) >= DAY.trusted
    spread = columns["day_spread"][slots].astype(np.float64)
    mean = spread[:, 0].copy()
    for column in range(1, spread.shape[1]):  # not `sum`: its order of adding depends on how many rows there are
        mean += spread[:, column]
    mean /= spread.shape[1]
    here = spread[np.arange(len(slots)), at]
    return np.where(complete, np.clip((here + 0.1 * mean + _TINY) / (1.1 * mean + _TINY), 0.25, 4.0), 1.0)


def _rate(live: Array, moment: Moment, rests: tuple[Floats, ...], day_known: Array, week_known: Array) -> None:
    """How large what each season leaves over is on the mean; the first two are compared where the day is known, and
    anew from when it first is."""
    errors, known = live[_ERRORS], live[_COUNTS]
    known[0] = np.where(day_known & (known[1] == 0), 0, known[0])
    counts = np.stack((day_known | (known[1] == 0), day_known, day_known & week_known))
    known += counts
    size = np.abs(np.stack(rests))
    size = np.where(known > _SETTLED, np.minimum(size, 6 * errors + _TINY), size)
    gain = np.maximum(np.minimum(moment.step_s / _ERROR_S, 1.0), 1 / np.maximum(known, 1))
    errors += np.where(counts, gain, 0.0) * (size - errors)


def _weights(live: Array, moment: Moment, habits: Habits) -> tuple[Floats, Floats]:
    """Shares of the two profiles: near 1 where one would have foretold clearly better than going without."""
    errors, days = live[_ERRORS], live[_COUNTS] * (moment.cadence_s / DAY_S)
    if habits.periods != "auto":
        return np.clip(days[1] - 0.5, 0, 1), np.clip(days[2] - 1, 0, 1)
    day = _better(errors[1], 0.9 * errors[0]) * np.clip(days[1] - 0.5, 0, 1)
    week = _better(errors[2], 0.95 * np.minimum(errors[0], errors[1])) * np.clip(days[2] - 1, 0, 1) * day
    return day, week


def _better(error: Floats, other: Floats) -> Floats:
    ratio = np.minimum(error / (other + _TINY), 10.0)
    square = ratio * ratio
    fourth = square * square
    return np.asarray(1 / (1 + fourth * fourth))


def _best(live: Array) -> Floats:
    errors = live[_ERRORS]
    rated = np.where(live[_COUNTS] > _SETTLED, errors, np.inf)
    return np.asarray(np.minimum(np.minimum(errors[0], rated[1]), rated[2]) + _TINY)


def _stages(live: Array, moment: Moment, day_weight: Floats, week_weight: Floats) -> Array:
    """Count samples since the season was found. What is learnt of the rest begins anew then: it was full of season."""
    days = live[_COUNTS][1] * moment.cadence_s / DAY_S
    stage = live[_STAGE]
    anew = np.asarray(((stage == 0) & (day_weight > 0.5) & (days > 1.5)) | ((stage == 1) & (week_weight > 0.5)))
    live[_CLEAN] = np.where(anew, 1.0, live[_CLEAN] + 1)
    live[_STAGE] = stage + anew
    return anew
