"""Six signed measures of what the season leaves over of a series, in scales of that series and time of day.

The sample; what it adds to the one before it (the innovation of an autoregression of order one, as residual charts
have: Alwan and Roberts 1988); means of some three, twelve and eighty samples (EWMA charts, Roberts 1959: a small shift
shows in the long ones, a spike in the short ones); and the logarithm of short over long spread. The scale is the mean
size of the rest, each counted up to three scales (after Huber 1964); means take values up to eight scales.

What is strange is not learnt for a day, and then quickly. A series that has stood elsewhere for half a day, settled,
has moved for good.
"""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.detector import Array, Moment, put, taken
from tocsin.engine.evaluate.detectors.season import DAY_S, Outlook

MEASURES: Final = ("value", "jump", "short mean", "hour mean", "long mean", "spread")
_SCALE_S: Final = np.float32(7 * DAY_S)
_QUICK_S: Final = np.float32(DAY_S)
_MOVED_S: Final = np.float32(DAY_S / 2)
_LONG_S: Final = 24_000.0
_LONG_SAMPLES: Final = 80.0
_SHARES: Final = np.array([0.2, 0.45, 1 / 8], np.float32)[:, None]  # of a new sample in the means but the long one
_SPREAD_SHARE: Final = np.float32(1 / 16)
_PAD: Final = np.float32(0.05)
_SETTLED: Final = 40  # samples after which scales are trusted to clip others
_TOP: Final = np.float32(100)
_MOST: Final = np.float32(8)
_FAR, _NEAR_BY, _CALM = np.float32(2), np.float32(1), np.float32(2)  # scales: elsewhere, back, and no longer moving

_ROWS: Final = 12
SPEC: Final[Spec] = {"horizon": ("f4", _ROWS, 0.0)}
_FAST, _SHORT, _HOUR, _LONG, _SPREAD, _USUAL, _SCALE, _AWAY, _STRANGE, _LAST, _POWER, _COMMON = range(_ROWS)


class Horizons:
    """One look: `measures` (measures x slots, at most 100 either way); then `learn` what is to be learnt."""

    def __init__(self, columns: Columns, moment: Moment, outlook: Outlook) -> None:
        self._columns, self._moment, self._outlook = columns, moment, outlook
        self._state = state = taken(columns, "horizon", moment.slots, (_ROWS,))
        if outlook.anew.any():
            state[: _USUAL + 1, outlook.anew] = 0
        age = np.minimum(moment.age, outlook.clean).astype(np.float32)
        self._plain = 1 / age
        self._ground = (1e-9 * np.abs(moment.x) + 1e-12).astype(np.float32) + np.float32(1e-3) * outlook.usual
        scaled = outlook.rest / ((state[_SCALE] + self._ground) * outlook.relative)
        self.measures = np.empty((len(MEASURES), len(age)), np.float32)
        top = np.where(age > 60, _TOP, np.where(age > 10, np.float32(3), np.float32(0)))
        np.clip(scaled, -top, top, out=self.measures[0])
        held = np.clip(self.measures[0], -_MOST, _MOST)
        self._innovate(held)
        self._follow(held)
        spread = np.log((state[_SPREAD] + _PAD) / (state[_USUAL] + _PAD))
        self.measures[5] = np.where(age > _SETTLED, spread, 0)

    def _innovate(self, held: Array) -> None:
        """What is new in a sample, given the one before. After a gap nothing is known of that."""
        state, moment = self._state, self._moment
        follows = moment.step_s < 1.5 * moment.cadence_s
        kept = np.clip(state[_COMMON] / (state[_POWER] + np.float32(0.01)), 0, np.float32(0.98)) * follows
        np.subtract(self.measures[0], kept * state[_LAST], out=self.measures[1])
        self._power = held * held
        self._common = np.where(follows, held * state[_LAST], kept * self._power)
        state[_LAST] = held

    def _follow(self, held: Array) -> None:
        state, moment = self._state, self._moment
        self._size = np.abs(held - state[_FAST])
        means = state[_FAST : _LONG + 1]
        long_s = np.maximum(_LONG_SAMPLES * moment.cadence_s, _LONG_S)
        means[:3] += np.maximum(_SHARES, self._plain) * (held - means[:3])
        means[3] += np.maximum((moment.cadence_s / long_s).astype(np.float32), self._plain) * (held - means[3])
        state[_SPREAD] += np.maximum(_SPREAD_SHARE, self._plain) * (self._size - state[_SPREAD])
        self.measures[2:5] = means[1:]

    def learn(self, strange: Array) -> tuple[Array, Array]:
        """By which share samples are to be learnt elsewhere, and by how much series have moved for good, in their
        unit."""
        state, moment, outlook = self._state, self._moment, self._outlook
        step_s = moment.step_s.astype(np.float32)
        since = np.where(strange, state[_STRANGE] + step_s, np.maximum(state[_STRANGE] - step_s, 0))
        state[_STRANGE] = np.minimum(since, np.float32(1.5) * _QUICK_S)
        quick = strange & (since > _QUICK_S)
        share = 1 - (strange & ~quick).astype(np.float32)
        gain = np.minimum(step_s / np.where(quick, _QUICK_S, _SCALE_S), 1)
        gain = np.maximum(gain, self._plain) * share
        scale = state[_SCALE]
        size = np.abs(outlook.rest) / outlook.relative
        size = np.where(moment.age > _SETTLED, np.minimum(size, 3 * scale + self._ground), size)
        for row, got in ((_SCALE, size), (_USUAL, self._size), (_COMMON, self._common), (_POWER, self._power)):
            state[row] += gain * (got - state[row])
        moved = self._move(step_s)
        put(self._columns, "horizon", moment.slots, state)
        return share, moved

    def _move(self, step_s: Array) -> Array:
        state = self._state
        hour = np.abs(state[_HOUR])
        settled = (hour > _FAR) & (np.abs(state[_SHORT] - state[_HOUR]) < _CALM)
        state[_AWAY] = (state[_AWAY] + step_s * settled) * (hour > _NEAR_BY)
        moved = np.zeros_like(hour)
        at = np.flatnonzero(state[_AWAY] > _MOVED_S)
        if len(at):
            part = state[:, at]
            moved[at] = part[_HOUR] * part[_SCALE] * self._outlook.relative[at]
            part[[_FAST, _SHORT, _LAST]] -= part[_HOUR]
            part[[_HOUR, _LONG, _AWAY, _STRANGE]] = 0
            state[:, at] = part
        return np.asarray(moved)
