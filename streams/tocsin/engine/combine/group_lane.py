"""What lanes of groups share: groups instead of series, shares instead of samples, and the watermark that closes."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from tocsin.engine.evaluate.columns import Spec
from tocsin.engine.evaluate.lane import FREE, Lane
from tocsin.engine.evaluate.plan import GroupSpec, Judged, LaneSpec
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.frame import Ints
from tocsin.engine.numbering import ABSENT
from tocsin.engine.partial import Panes
from tocsin.schemas.labels import series_id
from tocsin.schemas.signal import Signal

TOPIC = "partials"


class GroupLane(Lane):
    """Groups are numbered in a table as series are, and have slots as series have. Of the same labels each lane has a
    group of its own: what is heard of one metric says nothing about another."""

    spec: GroupSpec

    def __init__(self, spec: LaneSpec | GroupSpec, judged: Judged, series: SeriesTable, own: Spec) -> None:
        super().__init__(spec, judged, series, own)
        self._prefix = self.spec.key.encode()
        self._numbers: dict[bytes, int] = {}  # of groups that were asked for since the start, by key

    def slots_of(self, keys: Sequence[bytes], units: Mapping[bytes, str | None] | None = None) -> Ints:
        """The slots of groups, made when they are new; those of single series have `units`."""
        new = list(dict.fromkeys(key for key in keys if key not in self._numbers))
        if new:
            self._number(new, [units[key] if units else None for key in new])
        return self.slots(np.array([self._numbers[key] for key in keys], np.int64))

    def _number(self, keys: Sequence[bytes], units: Sequence[str | None]) -> None:
        names = [self._prefix + key for key in keys]
        identities = [series_id(name) for name in names]
        numbers = self.series.find(b"".join(identities))
        absent = np.flatnonzero(numbers == ABSENT).tolist()
        if absent:
            some = [identities[index] for index in absent], [names[index] for index in absent]
            numbers[absent] = self.series.add(*some, [units[index] for index in absent])
        self.admit(numbers[self.slots(numbers) == FREE])
        self._numbers.update(zip(keys, numbers.tolist(), strict=True))

    def saw(self, slots: Ints, at_ms: Ints, listened_ms: int, noted: str = "heard") -> None:
        """Something came of groups, which is `noted` in a column."""
        numbers = self.columns["series"][slots]
        self.series.saw(numbers, at_ms, 0)
        self.series.count_silence(TOPIC, lambda _partition: True, listened_ms)
        np.maximum.at(self.columns[noted], slots, at_ms)
        self.columns.touch(slots)

    def dismiss(self, number: int) -> None:
        """See Lane."""
        key = self.series.keys[number]
        if key is not None and key.startswith(self._prefix):
            self._numbers.pop(key.removeprefix(self._prefix), None)
        super().dismiss(number)

    @abstractmethod
    def take_panes(self, part: int, panes: Panes, listened_ms: int) -> None:
        """Shares that were gathered for part number `part` of this lane."""

    @abstractmethod
    def advance(self, watermark_ms: int, listened_ms: int, out: list[Signal]) -> None:
        """All shares of panes that end by the watermark, less the lateness, are here."""

    def take(self, samples: Samples, out: list[Signal]) -> None:
        """Samples of single series are none of a group's business."""
        raise AssertionError("groups are made of shares")


def group_table() -> SeriesTable:
    """A table of groups."""
    table = SeriesTable()
    table.sources.append((TOPIC, 0))
    return table
