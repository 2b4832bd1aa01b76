"""Time on the wall of a place, for many points in time at once."""

from typing import Final

import numpy as np

from tocsin.engine.frame import Floats
from tocsin.schemas.interval import local_time

_STEP_S: Final = 900.0  # clocks change on whole quarters of an hour
_KEPT: Final = 4_096


class WallClock:
    """A time zone. The offset of a quarter of an hour is looked up once."""

    def __init__(self, time_zone: str) -> None:
        self._zone = time_zone
        self._offsets: dict[int, float] = {}

    def __call__(self, at_s: Floats) -> Floats:
        """Seconds as clocks there show them, from epoch seconds."""
        if self._zone == "UTC":
            return at_s
        steps, place = np.unique(np.floor(at_s / _STEP_S).astype(np.int64), return_inverse=True)
        return np.asarray(at_s + np.array([self._offset_s(step) for step in steps.tolist()])[place])

    def _offset_s(self, step: int) -> float:
        found = self._offsets.get(step)
        if found is None:
            if len(self._offsets) >= _KEPT:
                self._offsets.clear()
            offset = local_time(round(step * _STEP_S * 1_000), self._zone).utcoffset()
            found = self._offsets[step] = offset.total_seconds() if offset else 0.0
        return found
