"""What people use today, to measure against: each gives a score a sample, and alarms at 3 unless it says otherwise."""

from __future__ import annotations

import warnings

import numpy as np
from tests.bench.fleet import DAY, HOUR, LEARN_DAYS, WEEK, Fleet, Floats


def rolling_deviation(fleet: Fleet) -> Floats:
    """Distance from the mean of the last day, in its standard deviations."""
    window = round(DAY / fleet.interval_s)
    known = ~np.isnan(fleet.values)
    filled = np.where(known, fleet.values, 0.0)
    origin = filled.sum(axis=0) / known.sum(axis=0)
    centred = np.where(known, fleet.values - origin, 0.0)
    sums = [_running(part, window) for part in (known.astype(float), centred, centred**2)]
    count = np.maximum(sums[0], 2)
    mean = sums[1] / count
    deviation = np.sqrt(np.maximum(sums[2] / count - mean**2, 0)) + 1e-9
    return _scored(np.abs(fleet.values - origin - mean) / deviation)


def hour_of_week(fleet: Fleet) -> Floats:
    """Distance from the median of this hour of earlier weeks, in 1.48 median absolute distances."""
    weeks = round((fleet.at_s[-1] - fleet.at_s[0] + fleet.interval_s) / WEEK)
    hours = fleet.values.reshape(weeks, 168, round(HOUR / fleet.interval_s), -1)
    out = np.zeros_like(hours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an hour in which nothing came
        for week in range(1, weeks):
            past = np.moveaxis(hours[:week], 0, 1).reshape(168, -1, hours.shape[-1])
            median = np.nanmedian(past, axis=1)
            spread = 1.4826 * np.nanmedian(np.abs(past - median[:, None]), axis=1) + 1e-9
            out[week] = np.abs(hours[week] - median[:, None]) / spread[:, None]
    return _scored(out.reshape(fleet.values.shape))


def fixed(fleet: Fleet) -> Floats:
    """Outside of all that the quiet weeks had, widened by a tenth: alarms at 1."""
    learnt = fleet.values[: round(LEARN_DAYS * DAY / fleet.interval_s)]
    low, high = np.nanmin(learnt, axis=0), np.nanmax(learnt, axis=0)
    margin = 0.1 * (high - low)
    return _scored(((fleet.values > high + margin) | (fleet.values < low - margin)).astype(float))


def _running(part: Floats, window: int) -> Floats:
    """The sum of the `window` rows before each row."""
    total = np.concatenate((np.zeros((1, part.shape[1])), np.cumsum(part, axis=0)))
    at = np.arange(len(part))
    return np.asarray(total[at] - total[np.maximum(at - window, 0)])


def _scored(scores: Floats) -> Floats:
    return np.nan_to_num(scores, nan=0.0)
