"""What the series of this samples partition come to one by one, told as members of groups, pane by pane."""

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from tocsin.engine.evaluate.gather import GatherLane
from tocsin.engine.evaluate.lane import FREE
from tocsin.engine.evaluate.plan import Judged, LaneSpec
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.frame import Ints
from tocsin.engine.partial import Members, Panes, indexes
from tocsin.schemas.labels import parse_series_key, series_key

_AT_ONCE: Final = 2_000  # members in a record: with percentiles, and long labels, some MiB


class MemberLane(GatherLane):
    """Each series is a group of its own, under its own labels, and a member of the group that it is told with."""

    def __init__(self, spec: LaneSpec, judged: Judged, series: SeriesTable) -> None:
        super().__init__(spec, judged, series)
        self._owners: dict[bytes, bytes] = {}  # of members that were told since the start, by key

    def _key(self, labels: Mapping[str, str]) -> bytes:
        return series_key("", dict(labels))

    def dismiss(self, number: int) -> None:
        """See Lane. Groups without series are looked for when a pane closes: here they are as many as series."""
        self._leave(number)

    def _forget(self, number: int) -> None:
        key = self.groups.keys[number]
        if key is not None:
            self._owners.pop(key, None)
        super()._forget(number)

    def _sent(self, start: int, source: str, sequence: int) -> list[Panes]:
        members = self._panes.groups_at(start)
        parts = [members[begin : begin + _AT_ONCE] for begin in range(0, len(members), _AT_ONCE)]
        units = self._units()
        return [
            self._told(self._share(start, part, source, sequence + place), [units[one] for one in part.tolist()])
            for place, part in enumerate(parts)
        ]

    def _told(self, panes: Panes, units: list[str | None]) -> Members:
        of_each = [self._owner(key) for key in panes.keys]
        owners = {key: place for place, key in enumerate(dict.fromkeys(of_each))}
        owned = indexes(np.array([owners[key] for key in of_each], np.int64))
        return Members(**msgspec.structs.asdict(panes), units=units, owners=list(owners), owned=owned)

    def _owner(self, key: bytes) -> bytes:
        owner = self._owners.get(key)
        if owner is None:
            _, labels = parse_series_key(key)
            owner = self._owners[key] = super()._key(labels)
        return owner

    def _units(self) -> list[str | None]:
        """By group number; None of one whose series is forgotten."""
        slots = self.occupied()
        numbers: Ints = np.full(len(self.groups.keys), FREE, np.int64)
        numbers[self.columns["group"][slots]] = self.columns["series"][slots]
        return [None if number == FREE else self.series.units[number] for number in numbers.tolist()]
