"""Seven signed measures of how a sample differs from the past of its track, in multiples of what is usual for each.

The residual of a fast mean and the first difference; the distance of the sample and of short means from a slow level
(EWMA charts, Roberts 1959); and the ratio of short to long spread. A track is one view of a series: its values, their
logarithm, and what its season leaves over. What is learnt is clipped, so that an outage is hardly learnt; a track that
has settled elsewhere for half a day takes that as its new level.
"""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.detector import Array, Moment, put, taken
from tocsin.engine.evaluate.detectors.season import DAY_S
from tocsin.engine.frame import Floats

MEASURES: Final = ("jump", "step", "level", "short mean", "hour mean", "long mean", "spread")
TRACKS: Final = ("value", "logarithm", "season")
_SPREAD_S: Final = 7 * DAY_S
_LEVEL_S: Final = 14 * DAY_S
_LONG_S: Final = 24_000.0  # the longest of three short means; the shortest is of five samples, one lies between
_LONG_SAMPLES: Final = 80.0
_SHORT_SAMPLES: Final = 5.0
_SETTLED: Final = 40
_MOVED_S: Final = 12 * 3600.0
_TOP: Final = 100.0

SPEC: Final[Spec] = {"track": ("f8", 11 * len(TRACKS), 0.0)}


def measure(columns: Columns, moment: Moment, views: Array, ages: Array) -> Array:
    """How strange: measures x tracks x slots, float32 and at most 100 either way. Learns the samples.

    `views` and `ages` are tracks x slots; a track of age 1 begins.
    """
    state = taken(columns, "track", moment.slots, (11, len(TRACKS)))
    begins = ages == 1
    for row in range(6):
        state[row] = np.where(begins, views, state[row])
    state[6:] = np.where(begins, 0.0, state[6:])
    previous, fast, level, short, middle, long, quick, step, wide, near, _ = state
    tiny = 1e-9 * (np.abs(views) + np.abs(level) + 1e-3)
    residual, difference, stray = views - fast, views - previous, views - level
    plain = 1.0 / ages
    _follow(moment, views, plain, short, middle, long)
    long_s = np.maximum(_LONG_SAMPLES * moment.cadence_s, _LONG_S)
    middle_gain = _middle_gain(moment, long_s)
    size, jump = np.abs(residual), np.abs(difference)
    near += np.maximum(middle_gain, plain) * (size - near)
    ground = 0.02 * wide + tiny
    out = np.empty((len(MEASURES), *views.shape), np.float32)
    top = np.where(ages > 60, _TOP, np.where(ages > 10, 3.0, 0.0))
    usual = wide + tiny
    for row, (above, scale) in enumerate(
        (
            (residual, quick + ground),
            (difference, step + ground),
            (stray, usual),
            (short - level, usual),
            (middle - level, usual),
            (long - level, usual),
        )
    ):
        out[row] = np.clip(above / scale, -top, top)
    pad = 0.05 * wide + tiny
    out[6] = np.clip(5 * np.log((near + pad) / (quick + pad)), -top, top)
    previous[...] = views
    _learn(moment, ages, plain, state, (size, jump, stray), tiny)
    put(columns, "track", moment.slots, state)
    return out


def _middle_gain(moment: Moment, long_s: Floats) -> Floats:
    return moment.cadence_s / np.sqrt(long_s * _SHORT_SAMPLES * moment.cadence_s)


def _follow(moment: Moment, views: Array, plain: Array, short: Array, middle: Array, long: Array) -> None:
    """The short means: five samples, 400 minutes (or 80 samples), and what lies between by ratio."""
    long_s = np.maximum(_LONG_SAMPLES * moment.cadence_s, _LONG_S)
    for mean, gain in (
        (short, np.full(len(moment.slots), 1 / _SHORT_SAMPLES)),
        (middle, _middle_gain(moment, long_s)),
        (long, moment.cadence_s / long_s),
    ):
        mean += np.maximum(gain, plain) * (views - mean)


def _learn(
    moment: Moment, ages: Array, plain: Array, state: Array, seen: tuple[Array, Array, Array], tiny: Array
) -> None:
    _, fast, level, short, middle, long, quick, step, wide, _, away = state
    size, jump, stray = seen
    settled = ages > _SETTLED
    fast += np.maximum(0.2, plain) * (state[0] - fast)
    spread_gain = np.maximum(np.minimum(moment.step_s / _SPREAD_S, 1.0), plain)
    for scale, got in ((quick, size), (step, jump)):
        scale += spread_gain * (np.where(settled, np.minimum(got, 8 * scale + tiny), got) - scale)
    limit = 6 * wide + tiny
    stray = np.where(settled, np.clip(stray, -limit, limit), stray)
    level_gain = np.maximum(np.minimum(moment.step_s / _LEVEL_S, 1.0), plain)
    level += level_gain * stray
    wide += level_gain * (np.abs(stray) - wide)
    far = (np.abs(long - level) > 3 * wide + tiny) & (np.abs(short - long) < wide) & (np.abs(middle - long) < wide)
    away[...] = np.where(far, away + moment.step_s, 0.0)
    moves = (away > _MOVED_S) & (ages > 300)
    level[...] = np.where(moves, long, level)
    away[...] = np.where(moves, 0.0, away)
