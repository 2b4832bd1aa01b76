"""Absence of groups: one alert when nothing comes from any series of a group, such as a host that is gone."""

import numpy as np

from tocsin.engine.combine.group_lane import GroupLane
from tocsin.engine.evaluate.plan import GroupSpec, Judged
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.evaluate.silence import SilenceLane
from tocsin.engine.partial import Panes
from tocsin.schemas.labels import series_key
from tocsin.schemas.signal import Signal


class SilenceGroups(SilenceLane, GroupLane):
    """Groups as series; those that are expected are there from the beginning, whether seen or not."""

    def __init__(self, spec: GroupSpec, judged: Judged, series: SeriesTable) -> None:
        self.group = spec
        super().__init__(spec, judged, series)

    def expected(self) -> list[bytes]:
        """The keys of groups that must be there."""
        return [series_key("", labels) for labels in self.absence.expected]

    def expect(self, keys: list[bytes], at_ms: int, listened_ms: int) -> None:
        """Begin to wait for groups."""
        slots = self.slots_of(keys, np.full(len(keys), at_ms), listened_ms)
        self.columns["seen"][slots] = np.maximum(self.columns["seen"][slots], at_ms)

    def take_panes(self, part: int, panes: Panes, listened_ms: int, out: list[Signal]) -> None:
        """See GroupLane."""
        last_ms = panes.figure("last_ms", len(panes.keys))
        self.slots_of(panes.keys, last_ms, listened_ms)
        numbers = self.series.numbers_of(panes.keys)
        order = np.argsort(numbers, kind="stable")
        zeros = np.zeros(len(numbers), np.int64)
        self.take(Samples(numbers[order], last_ms[order], zeros.astype(np.float64), zeros, zeros), out)

    def advance(self, watermark_ms: int, out: list[Signal]) -> None:
        """Silence is a matter of time listened, not of the watermark."""
