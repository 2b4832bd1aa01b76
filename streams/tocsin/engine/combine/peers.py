"""Members of groups, each held to the others: windows of single series, judged where their group belongs."""

from dataclasses import replace

import msgspec
import numpy as np

from tocsin.engine.combine.windows import WindowGroups
from tocsin.engine.evaluate.company import sizes_of
from tocsin.engine.evaluate.gather import GroupNumbers
from tocsin.engine.evaluate.lane import FREE
from tocsin.engine.evaluate.plan import GroupSpec, Judged
from tocsin.engine.evaluate.points import Points
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.frame import Ints
from tocsin.engine.ingest.step import UNSEEN_MS
from tocsin.engine.partial import Members, Panes
from tocsin.schemas.signal import Signal


class Peers(WindowGroups):
    """A slot is a member, `group` the number of its group, `came` the end of its latest pane. `heard` is how far it was
    judged: in a group that has become too small it is as silent as if nothing came of it."""

    def __init__(self, spec: GroupSpec, judged: Judged, series: SeriesTable) -> None:
        self._groups = GroupNumbers()
        super().__init__(spec, judged, series, {"group": ("i8", 0, FREE), "came": ("i8", 0, UNSEEN_MS)})

    def take_panes(self, part: int, panes: Panes, listened_ms: int) -> None:
        """See GroupLane."""
        assert isinstance(panes, Members)
        slots = self.slots_of(panes.keys, dict(zip(panes.keys, panes.units, strict=True)))
        owned = np.frombuffer(panes.owned, np.uint32)
        for place in np.flatnonzero(self.columns["group"][slots] == FREE).tolist():
            self.columns["group"][slots[place]] = self._groups.join(panes.owners[owned[place]])
        self._add(part, slots, panes, listened_ms, "came")

    def _close(self, end: int, out: list[Signal]) -> None:
        """Judge the members of groups of which enough have a sample in the window."""
        slots = self._parts[0].slots_in(end - self.size, end)
        slots = slots[sizes_of(self.columns["group"][slots]) >= self.spec.least]
        if not len(slots):
            return
        self.columns["heard"][slots] = np.minimum(self.columns["came"][slots], end)
        self._judge_at(end, slots, out)

    def _points(self, points: Points) -> Points:
        return replace(points, groups=self.columns["group"][points.slots])

    def ended_ms(self, slots: Ints) -> Ints:
        """See Lane. What follows the latest judged window is known when the next is over."""
        return np.asarray(self.columns["heard"][slots] + max(self.size - self.hop, self.hop))

    def quiet(self, now_ms: Ints, until_ms: int, quiet_ms: int, out: list[Signal]) -> None:
        """See Lane. Whether a member was judged, and not whether something came, says that it is there."""
        if self._shortest_ms is None:
            return
        slots = self.occupied()
        slots = slots[self.columns["heard"][slots] > UNSEEN_MS]
        if len(slots):
            now_ms = now_ms[self.columns["series"][slots]] - self.spec.lateness_ms
            self._fall_silent(slots, self.columns["heard"][slots], now_ms, out)

    def dismiss(self, number: int) -> None:
        """See Lane."""
        group = int(self.columns["group"][self.slot_of(number)])
        super().dismiss(number)
        self._groups.leave(group)
        if group in self._groups.empty:
            self._groups.forget(group)

    def pack_whole(self) -> bytes:
        """See Lane."""
        return msgspec.msgpack.encode((super().pack_whole(), self._groups.keys))

    def unpack_whole(self, value: bytes) -> None:
        """See Lane."""
        windows, keys = msgspec.msgpack.decode(value)
        super().unpack_whole(windows)
        self._groups.restore(keys, self.columns["group"][self.occupied()])
