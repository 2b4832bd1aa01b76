"""What lanes of groups share: groups instead of series, shares instead of samples, and the watermark that closes."""

from abc import abstractmethod

import numpy as np

from tocsin.engine.evaluate.lane import FREE, Lane
from tocsin.engine.evaluate.plan import GroupSpec
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.frame import Ints
from tocsin.engine.partial import Panes
from tocsin.schemas.labels import series_id
from tocsin.schemas.signal import Signal

TOPIC = "partials"


class GroupLane(Lane):
    """Groups are numbered in a table of their own, as series are, and have slots as series have."""

    group: GroupSpec

    def slots_of(self, keys: list[bytes], at_ms: Ints, listened_ms: int) -> Ints:
        """The slots of groups, made when they are new; notes that they were seen."""
        numbers = np.empty(len(keys), np.int64)
        for index, key in enumerate(keys):
            identity = series_id(key)
            number = self.series.numbers.get(identity)
            if number is None:
                number = self.series.add(identity, key, None)
            if self.slot_of(number) == FREE:
                self.admit(number)
            numbers[index] = number
        if len(keys):
            self.series.saw(numbers, at_ms, self.series.topic_number(TOPIC), listened_ms)
        return self.slots(numbers)

    @abstractmethod
    def take_panes(self, part: int, panes: Panes, listened_ms: int, out: list[Signal]) -> None:
        """Shares that were gathered for part number `part` of this lane."""

    @abstractmethod
    def advance(self, watermark_ms: int, out: list[Signal]) -> None:
        """All shares of panes that end by the watermark, less the lateness, are here."""

    def take(self, samples: Samples, out: list[Signal]) -> None:
        """Samples of single series are none of a group's business."""
        raise AssertionError("groups are made of shares")


def group_table() -> SeriesTable:
    """A table of groups."""
    table = SeriesTable()
    table.topic_number(TOPIC)
    return table
