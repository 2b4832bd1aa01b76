"""Absence of groups: one alert when nothing comes from any series of a group, such as a host that is gone."""

import msgspec
import numpy as np

from tocsin.engine.combine.group_lane import GroupLane
from tocsin.engine.combine.shares import Shares
from tocsin.engine.evaluate.plan import SEEN_EVERY_MS, GroupSpec, Judged
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.evaluate.silence import SilenceLane
from tocsin.engine.frame import Ints
from tocsin.engine.partial import Panes
from tocsin.schemas.labels import series_key
from tocsin.schemas.signal import Signal


class SilenceGroups(SilenceLane, GroupLane):
    """A group is a series of the last samples of each second, of whatever series of it; so a rhythm is learnt from the
    same times however its series are spread. Groups that are expected are there from the beginning, seen or not."""

    spec: GroupSpec

    def __init__(self, spec: GroupSpec, judged: Judged, series: SeriesTable) -> None:
        super().__init__(spec, judged, series)
        self._shares = Shares(["last"], SEEN_EVERY_MS)

    def expected(self) -> list[bytes]:
        """The keys of groups that must be there."""
        return [series_key("", labels) for labels in self.absence.expected]

    def expect(self, keys: list[bytes], at_ms: int, listened_ms: int) -> None:
        """Begin to wait for groups."""
        if not keys:
            return
        slots = self.slots_of(keys)
        self.saw(slots, np.full(len(keys), at_ms), listened_ms)
        self.columns["seen"][slots] = np.maximum(self.columns["seen"][slots], at_ms)
        self.columns.touch(slots)

    def take_panes(self, part: int, panes: Panes, listened_ms: int) -> None:
        """See GroupLane."""
        self._shares.add(self.slots_of(panes.keys), panes)

    def advance(self, watermark_ms: int, listened_ms: int, out: list[Signal]) -> None:
        """See GroupLane. That nothing came is a matter of time listened, not of the watermark."""
        until = watermark_ms - self.spec.lateness_ms
        for start in self._shares.rows.starts():
            if start + SEEN_EVERY_MS > until:
                break
            slots = self._shares.rows.groups_at(start)
            last_ms = self._shares.figures("last", slots, start, start + SEEN_EVERY_MS)["last_ms"][:, 0]
            self._shares.rows.drop(start)
            self.saw(slots, last_ms, listened_ms)
            self.take(self._as_samples(slots, last_ms), out)

    def _as_samples(self, slots: Ints, last_ms: Ints) -> Samples:
        zeros = np.zeros(len(slots), np.int64)
        return Samples(self.columns["series"][slots], last_ms, zeros.astype(np.float64), zeros, zeros)

    def quiet(self, now_ms: Ints, until_ms: int, quiet_ms: int, out: list[Signal]) -> None:
        """See Lane. What a second holds is known when it is over."""
        begun_ms = (now_ms - self.spec.lateness_ms) % SEEN_EVERY_MS
        super().quiet(now_ms - begun_ms, until_ms, quiet_ms, out)

    def dismiss(self, number: int) -> None:
        """See Lane."""
        self._shares.rows.forget_group(self.slot_of(number))
        super().dismiss(number)

    def pack_whole(self) -> bytes:
        """See Lane."""
        return msgspec.msgpack.encode(self._shares.rows.pack())

    def unpack_whole(self, value: bytes) -> None:
        """See Lane."""
        self._shares.rows.unpack(msgspec.msgpack.decode(value))
