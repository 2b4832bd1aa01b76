"""How a value differs from what it was some time ago: five minutes, yesterday at this time, last week."""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Columns
from tocsin.engine.evaluate.derivation import Derivation, History, with_facts
from tocsin.engine.evaluate.points import Points
from tocsin.schemas.kinds import Change

_BUCKETS: Final = 336  # half an hour of a week, four minutes of a day: 8 KiB a series
_OLDER: Final = 4  # what was then may be older by a quarter of the time: series of a minute against 5m are common


class ChangeOf(Derivation):
    """Compared is the mean of a bucket of 1/336 of the time, at least one window; if that is empty, of the last one
    before it, but older by at most a quarter of the time. Without a past there is no value, nor a percentage of zero.
    """

    def __init__(self, settings: Change, hop_ms: int, upwards: bool) -> None:
        self._settings = settings
        step_ms = max(hop_ms, -(-settings.against // _BUCKETS), 1)
        self._back = -(-settings.against // (_OLDER * step_ms))
        length = settings.against // step_ms + self._back + 2
        self.columns = Columns(History.spec(length))
        self._history = History(self.columns, step_ms, length)

    def derive(self, points: Points) -> Points:
        """See Derivation."""
        owners = points.owners()
        before = np.full(len(points), np.nan)
        for chosen in self._history.rounds(points):
            slots, at_ms = owners[chosen], points.at_ms[chosen]
            then = (at_ms - self._settings.against) // self._history.step_ms
            before[chosen] = self._history.last_mean(slots, then, self._back)
            self._history.add(slots, at_ms, points.values[chosen])
        difference = points.values - before
        if self._settings.unit == "percent":
            with np.errstate(divide="ignore", invalid="ignore"):
                difference = np.where(before == 0, np.nan, 100 * difference / np.abs(before))
        evidence = with_facts(
            points, lambda index: {"current": float(points.values[index]), "before": float(before[index])}
        )
        return Points(points.slots, points.begins, points.at_ms, difference, evidence).usable()
