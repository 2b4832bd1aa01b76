"""A shape never seen: the distance of the last minutes of a series to the nearest of the shapes that it knows.

The last 24 samples, as four means of six, apart from a level that follows and in scales, are a point; its distance
(L1) to the nearest of at most 32 learnt points is the measure, once for each mean (after KNN-CAD, Burnaev and Ishimtsev
2016, with prototypes in place of all of the past). A point near to a learnt one moves it; another takes the place of
the one that was not near to any for the longest time (leader clustering, Hartigan 1975). It knows of no period, so it
finds what is unlike the past of a series that goes its own ways.
"""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.detector import Moment, put, taken
from tocsin.engine.evaluate.detectors import scale
from tocsin.engine.evaluate.detectors.rarity import Rarity, Reading
from tocsin.engine.evaluate.detectors.scale import Level
from tocsin.engine.frame import Floats, Ints

_EACH: Final = 6  # samples of one mean
_MEANS: Final = 4
_SHAPES: Final = 32
_NEAR: Final = np.float32(_MEANS)  # one scale from each mean: the same shape
_GAIN: Final = np.float32(0.1)
_MOST: Final = 8.0  # scales: so much of one value counts
_UNKNOWN: Final = 1e6  # where a shape is that was not learnt yet


class Neighbours(Rarity):
    """See the module."""

    measures = ("shape",)

    def spec(self) -> Spec:
        """See Rarity."""
        return {
            "level": ("f8", 0, 0.0),
            "sum": ("f4", 0, 0.0),
            "last_means": ("f4", _MEANS, 0.0),
            "distance": ("f4", 0, 0.0),
            "shape": ("f4", _SHAPES * _MEANS, _UNKNOWN),
            "shape_turn": ("i8", _SHAPES, 0),
            **scale.SPEC,
        }

    def read(self, moment: Moment, local_s: Floats) -> Reading:
        """See Rarity."""
        columns, slots = self.columns, moment.slots
        level = Level(columns, moment, self.habits.level_s)
        columns["sum"][slots] += np.clip(level.measured, -_MOST, _MOST)
        full = np.flatnonzero(moment.age % _EACH == 0)
        if len(full):
            self._compare(slots[full], moment.age[full])
        anew = moment.age == _EACH * _MEANS
        return Reading(columns["distance"][slots][None].copy(), moment.age, anew, level.band(), level.learn)

    def _compare(self, slots: Ints, age: Ints) -> None:
        """A mean is complete: find the nearest shape, and learn this one."""
        columns, every = self.columns, np.arange(len(slots))
        means = taken(columns, "last_means", slots, (_MEANS,))
        means = np.concatenate((means[1:], columns["sum"][slots][None] / np.float32(_EACH)))
        put(columns, "last_means", slots, means)
        columns["sum"][slots] = 0
        shapes = columns["shape"][slots].reshape(-1, _SHAPES, _MEANS)
        apart = np.abs(shapes - means.T[:, None])
        distances = ((apart[..., 0] + apart[..., 1]) + apart[..., 2]) + apart[..., 3]
        nearest = distances.argmin(axis=1)
        distance = distances[every, nearest]
        turn = columns["shape_turn"][slots]
        is_near = distance <= _NEAR
        place = np.where(is_near, nearest, turn.argmin(axis=1))
        shape = shapes[every, place]
        shape += np.where(is_near, _GAIN, np.float32(1))[:, None] * (means.T - shape)
        is_whole = age >= _EACH * _MEANS
        chosen = np.flatnonzero(is_whole)
        columns["shape"].reshape(-1, _SHAPES, _MEANS)[slots[chosen], place[chosen]] = shape[chosen]
        columns["shape_turn"][slots[chosen], place[chosen]] = age[chosen]
        knows = is_whole & (turn.max(axis=1) > 0)
        columns["distance"][slots] = np.where(knows, np.minimum(distance, np.float32(_MEANS * 2 * _MOST)), 0)
