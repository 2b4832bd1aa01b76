"""The scale of what a forecast leaves over: its mean size within a week, each counted to three scales (Huber 1964)."""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.detector import Array, Moment
from tocsin.engine.evaluate.detectors.season import DAY_S
from tocsin.engine.frame import Floats

_WIDE: Final = 4.0  # scales: the ends of the band of ordinary values
_FAR: Final = 4.0  # scales: what is farther off is learnt as if it were there
_SCALE_S: Final = 7.0 * DAY_S
_SETTLED: Final = 40  # samples after which the scale is trusted to clip
_TOP: Final = 100.0
_LARGEST: Final = 1.7e308

SPEC: Final[Spec] = {"scale": ("f8", 0, 0.0)}


class Scale:
    """One look at what a forecast leaves over, `rest`, of which so many samples are `known`, counted from 1."""

    def __init__(self, columns: Columns, moment: Moment, rest: Floats, known: Array) -> None:
        self._columns, self._moment, self._rest, self._known = columns, moment, rest, known
        self._scale = np.where(known > 1, columns["scale"][moment.slots], 0.0)
        self._ground = 1e-9 * np.abs(moment.x) + 1e-12

    @property
    def measured(self) -> Array:
        """The rest in scales, at most 100 either way; as long as little is known of the scale 0, and then up to 3."""
        top = np.where(self._known > 60, _TOP, np.where(self._known > 10, 3.0, 0.0))
        return np.clip(self._rest / (self._scale + self._ground), -top, top).astype(np.float32)

    def learn(self) -> Floats:
        """The rest as it is to be learnt elsewhere; the scale learns it too."""
        settled, size = self._known > _SETTLED, np.abs(self._rest)
        counted = np.where(settled, np.minimum(size, 3 * self._scale + self._ground), size)
        gain = np.maximum(np.minimum(self._moment.step_s / _SCALE_S, 1.0), 1 / self._known)
        self._columns["scale"][self._moment.slots] = self._scale + gain * (counted - self._scale)
        most = np.where(settled, _FAR * (self._scale + self._ground), size)
        return np.clip(self._rest, -most, most)

    def band(self, expected: Floats) -> tuple[Floats, Floats, Floats]:
        """What is expected with the ends of the band of ordinary values, in the unit of the series."""
        half, unit = _WIDE * self._scale, self._moment.unit
        with np.errstate(over="ignore"):
            ends = (expected, expected - half, expected + half)
            middle, lower, upper = (np.clip(at * unit, -_LARGEST, _LARGEST) for at in ends)
        return middle, lower, upper


class Level:
    """One look at a level that follows a series, in a column `level`, and at what values are apart from it."""

    def __init__(self, columns: Columns, moment: Moment, memory_s: float) -> None:
        self._columns, self._moment, self._memory_s = columns, moment, memory_s
        self._level = np.where(moment.age == 1, moment.x, columns["level"][moment.slots])
        self._scale = Scale(columns, moment, moment.x - self._level, moment.age)

    @property
    def measured(self) -> Array:
        """See Scale."""
        return self._scale.measured

    def learn(self, strange: Array) -> Array:
        """See Reading: what is strange is learnt as what is far off, but by no tail."""
        moment = self._moment
        followed = self._level + moment.gain(self._memory_s) * self._scale.learn()
        self._columns["level"][moment.slots] = followed
        return 1 - strange.astype(np.float32)

    def band(self) -> tuple[Floats, Floats, Floats]:
        """See Scale."""
        return self._scale.band(self._level)
