"""Shapes not seen before, and sums that wander off.

The last four means of six samples are compared with at most 32 learnt shapes by city-block distance (a codebook, as
nearest-neighbour detectors keep: KNN-CAD, Burnaev and Ishimtsev 2016); and two cumulative sums of the distance from the
slow level, up and down, with slack 1 (CUSUM, Page 1954). Both count by how far they pass their largest value yet.
"""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.detector import Array, Moment, put, taken
from tocsin.engine.frame import Floats, Ints

_SHAPES: Final = 32
_LENGTH: Final = 4
_SAMPLES: Final = 6
_NEW: Final = 0.3  # mean distance from which a shape is one of its own
_HALF_S: Final = 16_000 * 300.0
_FLOOR: Final = np.array([0.1, 2.0, 2.0])[:, None]
_WEIGHT: Final = np.array([3.0, 1.0, 1.0])[:, None]

SPEC: Final[Spec] = {
    "book": ("f4", _SHAPES * _LENGTH, 0.0),
    "hits": ("f4", _SHAPES, 0.0),
    "recent": ("f8", 2 + _LENGTH + 2 + 3, 0.0),  # shapes in use, open sum, last means, two sums, three largest
}
_USED, _SUM, _MEANS, _CUSUM, _LARGEST = 0, 1, slice(2, 6), slice(6, 8), slice(8, 11)


def evidence(columns: Columns, moment: Moment, stray: Floats) -> Array:
    """3 x slots: of the shape, and of the sums up and down. `stray` is the distance from the slow level, in sizes."""
    state = taken(columns, "recent", moment.slots, (11,))
    stray = np.clip(stray, -8.0, 8.0)
    started = moment.age > 30
    sums = np.maximum(0, state[_CUSUM] * 0.995 + np.stack((stray, -stray)) - 1)
    state[_CUSUM] = np.where(started, sums, 0.0)
    state[_SUM] += stray / (1 + np.abs(stray) * 0.2)
    found = np.zeros((3, len(stray)))
    found[1:] = np.sqrt(state[_CUSUM])
    full = np.flatnonzero(moment.age % _SAMPLES == 0)
    if len(full):
        part = state[:, full]
        means = part[_MEANS]
        means[:-1], means[-1] = means[1:].copy(), part[_SUM] / _SAMPLES
        part[_SUM] = 0.0
        ready = np.flatnonzero(moment.age[full] >= max(_SAMPLES * _LENGTH, 36))
        if len(ready):
            some = part[:, ready]
            found[0, full[ready]] = _compare(columns, moment.slots[full[ready]], some)
            part[:, ready] = some
        state[:, full] = part
    largest = state[_LARGEST]
    passed = np.log(np.maximum((found + _FLOOR) / (largest + _FLOOR), 1.0)) * _WEIGHT
    state[_LARGEST] = np.maximum(largest * np.exp2(-moment.step_s / _HALF_S), found)
    put(columns, "recent", moment.slots, state)
    return np.asarray(passed * (moment.age > 300))


def _compare(columns: Columns, slots: Ints, state: Array) -> Floats:
    """The distance of the last means to the nearest shape; a far one takes the place of the least used."""
    book = columns["book"][slots].reshape(-1, _SHAPES, _LENGTH)
    hits = columns["hits"][slots]
    shape, used = state[_MEANS].T.astype(np.float32), state[_USED].astype(np.int64)
    apart = np.abs(book - shape[:, None, :])
    distance = (apart[:, :, 0] + apart[:, :, 1]) + (apart[:, :, 2] + apart[:, :, 3])
    distance[np.arange(_SHAPES) >= used[:, None]] = np.inf
    rows, nearest = np.arange(len(slots)), distance.argmin(axis=1)
    far = np.where(used > 0, distance[rows, nearest] / _LENGTH, 0.0)
    fresh, full = (used == 0) | (far > _NEW), used >= _SHAPES
    hits *= np.where(fresh & full, np.float32(0.99), np.float32(1))[:, None]
    at = np.where(fresh, np.where(full, hits.argmin(axis=1), used), nearest)
    old = book[rows, at]
    columns["book"][slots[:, None], at[:, None] * _LENGTH + np.arange(_LENGTH)] = np.where(
        fresh[:, None], shape, old + np.float32(0.1) * (shape - old)
    )
    hits[rows, at] = np.where(fresh, 1, hits[rows, at] + 1)
    columns["hits"][slots] = hits
    state[_USED] = used + (fresh & ~full)
    return np.asarray(far, np.float64)
